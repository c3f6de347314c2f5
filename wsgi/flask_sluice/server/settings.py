"""gunicorn's settings for an app without a gunicorn file: ``gunicorn -c python:flask_sluice.server.settings myapp:app``."""

from flask_sluice.server.configuration import configure

configure(globals())
