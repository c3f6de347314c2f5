"""A help desk: users log in, ask, and read the answer while it is being written."""

from flask import Flask

from helpdesk import accounts, commands, questions
from helpdesk.extensions import database, login_manager


def create_app() -> Flask:
    """Return a new application.

    Environment variables that begin with HELPDESK_ overwrite its configuration. HELPDESK_SECRET_KEY has to be set.
    """
    app = Flask(__name__)
    app.config.update(
        SESSION_COOKIE_SAMESITE="Lax",
        SQLALCHEMY_DATABASE_URI="sqlite:///helpdesk.db",
        SECONDS_BETWEEN_WORDS=0.1,
    )
    app.config.from_prefixed_env("HELPDESK")
    database.init_app(app)
    login_manager.init_app(app)
    app.register_blueprint(accounts.blueprint)
    app.register_blueprint(questions.blueprint)
    app.cli.add_command(commands.create_user)
    return app
