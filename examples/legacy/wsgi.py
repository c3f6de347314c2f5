"""The application for gunicorn and for `flask`, which look for a module of this name."""

from helpdesk import create_app

app = create_app()
