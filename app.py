"""Sluice's Flask app. Wiring only."""

import os

from flask import Flask

from wsgi.api import demo, errors, openai, operations, relay
from wsgi.engines import Relay, Simulator, Upstream, Upstreams
from wsgi.settings import Settings, read_settings
from wsgi.stream import worker


def create_app(settings: Settings) -> Flask:
    """The app for these settings; gunicorn.conf.py has what concerns the server."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    worker.inflight().limit = settings.max_streams
    errors.register(app)
    upstreams = Upstreams(
        [Upstream(url, settings.connect_timeout_seconds) for url in settings.upstream]
    )
    if settings.upstream:
        engine = Relay(upstreams, settings.first_event_timeout_seconds)
        app.register_blueprint(relay.blueprint(engine, settings))
    else:
        app.register_blueprint(openai.blueprint(Simulator(), settings))
    app.register_blueprint(demo.blueprint(settings))
    app.register_blueprint(operations.blueprint(upstreams))
    return app


worker.require_gevent()
app = create_app(read_settings(os.environ))
