"""Sluice's Flask app. Wiring only."""

import os
from collections.abc import Callable

from wsgi.api import auth, demo, errors, openai, operations, relay, streams
from wsgi.api.application import Application
from wsgi.api.proxies import TrustedProxies
from wsgi.engines import Relay, Simulator, Upstream, Upstreams
from wsgi.errors import ApiError
from wsgi.journal import Journal, Limits, MemoryJournal
from wsgi.metrics import Metrics
from wsgi.settings import Settings, read_settings
from wsgi.stream import StreamContext, worker
from wsgi.stream.feed import Feed
from wsgi.stream.rendering import error_for_event_source


def create_app(settings: Settings) -> Application:
    """The app for these settings; gunicorn.conf.py has what concerns the server."""
    app = Application(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    worker.inflight().limit = settings.max_streams
    worker.tally().models.set(settings.models)
    errors.register(app)
    # Those below are imported where they are configured: each takes a part of the start's two seconds.
    if settings.cors_origins:
        from wsgi.api import cors  # noqa: PLC0415

        cors.register(app, settings.cors_origins)
    upstreams = Upstreams(
        [Upstream(url, settings.connect_timeout_seconds) for url in settings.upstream]
    )
    if settings.api_keys:
        auth.register(app, settings.api_keys)
    if settings.rate_limit:
        from wsgi.api import rate_limits  # noqa: PLC0415

        rate_limits.register(app, settings)
    if settings.trusted_proxies:
        # As Flask's documentation has it; mypy takes it for a method that is overwritten.
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    open_feed: Callable[[StreamContext], Feed]
    if settings.upstream:
        upstream = Relay(upstreams, settings.first_event_timeout_seconds)
        open_feed = relay.chat_feed(upstream, settings)
        app.register_blueprint(relay.blueprint(upstream, settings))
    else:
        simulator = Simulator()
        open_feed = openai.chat_feed(simulator, settings)
        app.register_blueprint(openai.blueprint(simulator, settings))
    journal = _journal(settings)
    metrics = Metrics(worker.tally(), worker.inflight(), upstreams)
    app.extensions.update(sluice_journal=journal, sluice_metrics=metrics)
    app.register_blueprint(streams.blueprint(open_feed, journal, settings))
    app.register_blueprint(demo.blueprint(settings))
    app.register_blueprint(operations.blueprint(upstreams, journal, metrics))
    return app


def _journal(settings: Settings) -> Journal | None:
    """None where streams cannot be kept: a reader's next request may reach another worker."""
    limits = Limits(
        history_bytes=settings.history_bytes,
        history_seconds=settings.history_seconds,
        abandon_seconds=settings.abandon_seconds,
        total_history_bytes=settings.total_history_bytes,
    )
    if settings.redis_url:
        # Not above: importing redis-py takes a seventh of a second.
        from wsgi.journal.redis_journal import RedisJournal  # noqa: PLC0415

        lost = ApiError(502, "producer_lost", "the process that generated the answer is gone")
        return RedisJournal(settings.redis_url, limits, lost_event=error_for_event_source(lost))
    return MemoryJournal(limits) if settings.workers == 1 else None


worker.require_gevent()
app = create_app(read_settings(os.environ))
