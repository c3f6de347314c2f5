"""The generator that a stream sends, and the database around it."""

import time
from collections.abc import Callable, Iterator

from flask.ctx import AppContext

from flask_sluice import Event
from helpdesk.extensions import database
from helpdesk.models import Question


def answer_events(
    question_id: int, *, app_context: Callable[[], AppContext], seconds_between_words: float
) -> Iterator[Event]:
    """Yield the words of an answer as events, then `event: done`; save the answer however the stream ends.

    The application context is there only while the database is used. Were it there for the whole stream, each open stream
    would hold one of the pool's connections.
    """
    with app_context():
        question = database.session.get_one(Question, question_id)
        text, answer, state = question.text, question.answer, question.state
    if state == "complete":
        yield Event.json({"text": answer})
        yield Event(event="done", data="")
        return
    answer, state = "", "cancelled"
    try:
        for word in write_answer(text, seconds_between_words):
            answer += word
            yield Event.json({"text": word})
        yield Event(event="done", data="")
        # After its terminal event the generator is not interrupted any more, although the user may have left.
        state = "complete"
    except Exception:
        # The user gets `event: error` without the exception's text, and the log the traceback.
        state = "failed"
        raise
    finally:
        # Also on GeneratorExit, which is raised when the user leaves.
        with app_context():
            question = database.session.get_one(Question, question_id)
            question.answer, question.state = answer, state
            database.session.commit()


def write_answer(question: str, seconds_between_words: float) -> Iterator[str]:
    """Yield the words of an answer. This stands for a language model, or for anything else that takes its time."""
    yield "You asked:"
    for word in question.split():
        # Under gevent this holds up no other request.
        time.sleep(seconds_between_words)
        if word == "fail":
            raise ConnectionError("the language model does not answer")
        yield f" {word}"
