"""The gateway as a Flask application: wiring only."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from flask_sluice.gateway.api import demo, openai, operations, passthrough, streams
from flask_sluice.gateway.application import Application
from flask_sluice.gateway.relay.relay import Relay
from flask_sluice.gateway.relay.upstream import Upstream, Upstreams
from flask_sluice.gateway.request import auth, error_handlers
from flask_sluice.gateway.request.trusted_proxies import TrustedProxies
from flask_sluice.gateway.settings import Settings, read_settings
from flask_sluice.gateway.simulator.simulator import Simulator
from flask_sluice.journal import Journal, Limits, MemoryJournal
from flask_sluice.observe.exporter import MetricsExporter
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.gevent_check import GEVENT_NEEDED, is_patched
from flask_sluice.stream.headers_and_errors import error_for_event_source

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parents[2]
_PAGE = _HERE if (_HERE / "static").is_dir() else _CHECKOUT
"""Where the folders ``static`` and ``templates`` are: in the installed package, or at the top of a checkout."""


def create_app(settings: Settings | None = None) -> Application:
    """Return the gateway as a WSGI application.

    settings: None: those of the environment, the variables that begin with ``SLUICE_``

    Raises SettingsError for a bad variable, RuntimeError in a process that gevent has not patched.
    """
    if not is_patched():
        if "gunicorn.arbiter" in sys.modules:
            # gunicorn ends with this exception's message in one line; with others it prints a traceback.
            from flask_sluice.server.gunicorn_adapter import AppImportError  # noqa: PLC0415

            raise AppImportError(GEVENT_NEEDED)
        raise RuntimeError(GEVENT_NEEDED)
    if settings is None:
        settings = read_settings(os.environ)
    app = Application(
        "flask_sluice.gateway",
        static_folder=str(_PAGE / "static"),
        template_folder=str(_PAGE / "templates"),
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    registry.admission().limit = settings.max_streams
    registry.stats().models.set(settings.models)
    error_handlers.register(app)
    # Those below are imported where they are configured: each takes a part of the start's two seconds.
    if settings.cors_origins:
        from flask_sluice.gateway.request import cors  # noqa: PLC0415

        cors.register(app, settings.cors_origins)
    upstreams = Upstreams(
        [Upstream(url, settings.connect_timeout_seconds) for url in settings.upstream]
    )
    if settings.api_keys:
        auth.register(app, settings.api_keys)
    if settings.rate_limit:
        from flask_sluice.gateway.request import rate_limits  # noqa: PLC0415

        rate_limits.register(app, settings)
    if settings.trusted_proxies:
        # As Flask's documentation has it; mypy takes it for a method that is overwritten.
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    open_feed: Callable[[StreamContext], Feed]
    if settings.upstream:
        upstream = Relay(upstreams, settings.first_event_timeout_seconds)
        open_feed = passthrough.chat_feed(upstream, settings)
        app.register_blueprint(passthrough.blueprint(upstream, settings))
    else:
        simulator = Simulator()
        open_feed = openai.chat_feed(simulator, settings)
        app.register_blueprint(openai.blueprint(simulator, settings))
    journal = _journal(settings)
    metrics = MetricsExporter(registry.stats(), lambda: registry.admission().limit, upstreams.all)
    app.extensions.update(sluice_journal=journal, sluice_metrics=metrics)
    app.register_blueprint(streams.blueprint(open_feed, journal, settings))
    app.register_blueprint(demo.blueprint(settings))
    app.register_blueprint(operations.blueprint(upstreams, journal, metrics))
    return app


def _journal(settings: Settings) -> Journal:
    limits = Limits(
        history_bytes=settings.history_bytes,
        history_seconds=settings.history_seconds,
        abandon_seconds=settings.abandon_seconds,
        total_history_bytes=settings.total_history_bytes,
    )
    if settings.redis_url:
        # Not above: importing redis-py takes a seventh of a second.
        from flask_sluice.journal.redis.journal import RedisJournal  # noqa: PLC0415

        lost = ApiError(502, "producer_lost", "the process that generated the answer is gone")
        return RedisJournal(settings.redis_url, limits, lost_event=error_for_event_source(lost))
    return MemoryJournal(limits)
