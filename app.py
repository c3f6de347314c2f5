"""Sluice's Flask app. Wiring only."""

import os

from flask import Flask

from wsgi.api import demo, errors, openai, operations
from wsgi.engines import Simulator
from wsgi.settings import Settings, read_settings
from wsgi.stream import worker


def create_app(settings: Settings) -> Flask:
    """The app for these settings; gunicorn.conf.py has what concerns the server."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    worker.inflight().limit = settings.max_streams
    engine = Simulator()
    errors.register(app)
    app.register_blueprint(openai.blueprint(engine, settings))
    app.register_blueprint(demo.blueprint(settings))
    app.register_blueprint(operations.blueprint())
    return app


worker.require_gevent()
app = create_app(read_settings(os.environ))
