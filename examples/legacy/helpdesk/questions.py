"""The page, the questions, and the streams of their answers."""

from flask import Blueprint, Response, abort, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from flask_sluice import sse_response
from helpdesk.answers import answer_events
from helpdesk.extensions import database
from helpdesk.models import Question

blueprint = Blueprint("questions", __name__)


@blueprint.get("/")
@login_required
def index() -> str:
    return render_template("index.html")


@blueprint.post("/questions")
@login_required
def ask() -> ResponseReturnValue:
    question = Question(user_id=current_user.id, text=request.get_json()["text"])
    database.session.add(question)
    database.session.commit()
    return jsonify(id=question.id), 201


@blueprint.get("/questions/<int:question_id>")
@login_required
def show(question_id: int) -> Response:
    question = _own_question(question_id)
    return jsonify(text=question.text, answer=question.answer, state=question.state)


@blueprint.get("/questions/<int:question_id>/answer")
@login_required
def stream_answer(question_id: int) -> Response:
    question = _own_question(question_id)
    # The generator runs after this view has returned, without the view's contexts: it gets what it needs as arguments.
    return sse_response(
        answer_events(
            question.id,
            app_context=current_app.app_context,
            seconds_between_words=current_app.config["SECONDS_BETWEEN_WORDS"],
        )
    )


def _own_question(question_id: int) -> Question:
    question = database.session.get(Question, question_id)
    if question is None or question.user_id != current_user.id:
        abort(404)
    return question
