"""Logging in and out."""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required, login_user, logout_user

from helpdesk.extensions import database, login_manager
from helpdesk.models import User

blueprint = Blueprint("accounts", __name__)


@login_manager.unauthorized_handler
def unauthorized() -> ResponseReturnValue:
    """Redirect a page to the login; answer 401 to a program, which cannot log in there."""
    if request.accept_mimetypes.accept_html:
        return redirect(url_for("accounts.login"))
    return "Log in first.", 401


@blueprint.get("/login")
def login() -> str:
    return render_template("login.html")


@blueprint.post("/login")
def check_login() -> ResponseReturnValue:
    name = request.form["name"]
    query = database.select(User).filter_by(name=name)
    user = database.session.scalar(query)
    if user is None or not user.has_password(request.form["password"]):
        abort(403)
    login_user(user)
    return redirect(url_for("questions.index"))


@blueprint.post("/logout")
@login_required
def logout() -> ResponseReturnValue:
    logout_user()
    return redirect(url_for("accounts.login"))
