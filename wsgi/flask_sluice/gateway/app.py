"""Makes the gateway's Flask application; this file only connects its parts."""

import sys
from collections.abc import Callable
from pathlib import Path

from flask import Blueprint

from flask_sluice.channels import Channels
from flask_sluice.extension.config import ExtensionConfig
from flask_sluice.extension.handed_readers import HandoffTickets
from flask_sluice.extension.streams import AppStreams
from flask_sluice.gateway.api import demo, handoff, operations, passthrough, replayed, streams
from flask_sluice.gateway.api.doctor import routes as doctor
from flask_sluice.gateway.api.openapi import routes as openapi
from flask_sluice.gateway.api.passed_up import UpHeaders
from flask_sluice.gateway.api.readiness import Readiness
from flask_sluice.gateway.api.simulated import chat as simulated_chat
from flask_sluice.gateway.api.simulated import control
from flask_sluice.gateway.api.simulated import routes as simulated
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.api.simulated.request_memory import RequestMemory
from flask_sluice.gateway.application import Application
from flask_sluice.gateway.environment import server_settings
from flask_sluice.gateway.relay.health.check import HealthCheck
from flask_sluice.gateway.relay.recording.recorder import Recorder
from flask_sluice.gateway.relay.relay import Relay
from flask_sluice.gateway.relay.upstream import Upstreams
from flask_sluice.gateway.request import body_budget, error_handlers
from flask_sluice.gateway.request.access import auth, handed_over, hosts, origins
from flask_sluice.gateway.request.access.tickets import Tickets
from flask_sluice.gateway.request.trusted_proxies import TrustedProxies
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.bounds import MAX_BODY_BYTES
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError
from flask_sluice.gateway.simulator.scenarios.live import LiveScenario
from flask_sluice.observe.exporter import MetricsExporter
from flask_sluice.observe.multiprocess import folder as metrics_folder
from flask_sluice.observe.multiprocess.mirror import FolderMirror
from flask_sluice.server.gunicorn_adapter import (
    AppImportError,
    loading_worker_class,
    why_no_streams,
)
from flask_sluice.server.worker_board import board
from flask_sluice.stream import registry
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.feeds.feed import Feed
from flask_sluice.stream.serving import GEVENT_NEEDED, is_patched

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parents[2]
_PAGE = _HERE if (_HERE / "static").is_dir() else _CHECKOUT
"""Where the folders ``static`` and ``templates`` are: in the installed package, or at the top of a checkout."""


def create_app(settings: Settings | None = None) -> Application:
    """Return the gateway as a WSGI application.

    settings: None: those in the environment, the variables that begin with ``SLUICE_``

    Raises SettingsError for a variable with a bad value, and AppImportError in a gunicorn that gevent has not patched.
    Elsewhere, as for ``flask routes``, the app is made, and its streams say what they need when they are asked for.
    """
    if "gunicorn.arbiter" in sys.modules and not is_patched():
        # gunicorn prints the message of this exception in one line, and a traceback for others.
        raise AppImportError(GEVENT_NEEDED)
    worker_class = loading_worker_class()
    if worker_class is not None and (why := why_no_streams(worker_class)):
        raise AppImportError(f"sluice: {why}")
    if settings is None:
        settings = server_settings()
    app = Application(
        "flask_sluice.gateway",
        static_folder=str(_PAGE / "static"),
        template_folder=str(_PAGE / "templates"),
    )
    app.config["MAX_CONTENT_LENGTH"] = (
        settings.max_body_bytes
        if settings.upstream or settings.replay
        else min(settings.max_body_bytes, MAX_BODY_BYTES)
    )
    registry.admission().limit = settings.max_streams
    registry.stats().models.set(settings.models)
    error_handlers.register(app)
    body_budget.register(app, settings)
    if settings.secret_key:
        handed_over.register(app, HandoffTickets(settings.secret_key))
    hosts.register(app, settings)
    if not settings.api_keys:
        origins.register(app, settings)
    # Some modules below are imported only where they are configured: importing them slows the start down.
    if settings.cors_origins:
        from flask_sluice.gateway.request.access import cors  # noqa: PLC0415

        cors.register(app, settings.cors_origins)
    upstreams = Upstreams.at(
        settings.upstream, settings.connect_timeout_seconds, settings.max_event_bytes
    )
    tickets = Tickets(settings.secret_key or settings.api_keys) if settings.api_keys else None
    if tickets is not None:
        auth.register(app, settings.api_keys, tickets)
    if settings.rate_limit:
        from flask_sluice.gateway.request import rate_limits  # noqa: PLC0415

        rate_limits.register(app, settings)
    if settings.trusted_proxies:
        # Flask's documentation wraps middleware like this; mypy sees a method that is assigned to.
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    kept_streams = _streams(settings)
    open_feed = _answer_api(app, kept_streams, settings, upstreams)
    journal = kept_streams.journal
    admission = registry.admission()
    metrics = MetricsExporter(
        registry.stats(),
        # A worker that drains takes no more.
        lambda: 0 if admission.is_draining else admission.limit,
        upstreams.all,
        board(),
        FolderMirror() if metrics_folder.path() else None,
    )
    app.extensions.update(
        sluice_journal=journal,
        sluice_metrics=metrics,
        sluice_health_checks=_health_checks(upstreams, settings),
    )
    app.register_blueprint(streams.blueprint(open_feed, kept_streams, settings, tickets))
    if settings.secret_key:
        channels = _channels(settings)
        app.register_blueprint(handoff.blueprint(kept_streams, channels, settings.stream_options))
    _register(
        app,
        demo.blueprint(settings),
        operations.blueprint(Readiness(upstreams, journal, board()), metrics),
        openapi.blueprint(has_keys=bool(settings.api_keys)),
        # Behind all access checks: what they refuse leaves no report.
        doctor.blueprint(settings),
    )
    return app


def _register(app: Application, *blueprints: Blueprint) -> None:
    for blueprint in blueprints:
        app.register_blueprint(blueprint)


def _simulator(app: Application, settings: Settings) -> Answering:
    """Return what answers from the simulator. With a token its requests are remembered, and a test may ask for them."""
    try:
        scenario = LiveScenario(settings.scenario or None)
    except ScenarioError as error:
        raise AppImportError(f"sluice: {error}") from None
    if not settings.simulator_token:
        return Answering(settings, scenario)
    memory = RequestMemory()
    routes = control.blueprint(memory, scenario, settings.simulator_token)
    memory.watch(routes)
    app.register_blueprint(routes)
    return Answering(settings, scenario, memory)


def _health_checks(upstreams: Upstreams, settings: Settings) -> list[HealthCheck]:
    """Return what each worker is to run."""
    path = settings.upstream_health_path
    if not path:
        return []
    headers = UpHeaders(settings).choose({}, path)
    return [HealthCheck(upstream, path, headers) for upstream in upstreams.all]


def _answer_api(
    app: Application, kept_streams: AppStreams, settings: Settings, upstreams: Upstreams
) -> Callable[[StreamContext], Feed]:
    """Add the routes of the APIs, and return what opens the feed of a chat completion."""
    app.extensions["sluice_recorder"] = None
    if settings.upstream:
        recorder = _recorder(settings) if settings.record else None
        app.extensions["sluice_recorder"] = recorder
        relay = Relay(upstreams, settings.first_event_timeout_seconds, recorder)
        app.register_blueprint(passthrough.blueprint(relay, settings))
        return passthrough.chat_feed(relay, settings)
    if settings.replay:
        replaying = replayed.Replaying(settings)
        app.register_blueprint(replayed.blueprint(replaying))
        return replaying.chat_feed
    answering = _simulator(app, settings)
    app.register_blueprint(simulated.blueprint(answering, kept_streams, settings))
    return simulated_chat.chat_feed(answering)


def _recorder(settings: Settings) -> Recorder:
    secrets = (settings.upstream_api_key, *settings.api_keys, *settings.secret_key)
    return Recorder(settings.record, secrets)


def _streams(settings: Settings) -> AppStreams:
    return AppStreams(
        ExtensionConfig(
            redis_url=settings.redis_url or None,
            history_bytes=settings.history_bytes,
            history_seconds=settings.history_seconds,
            abandon_seconds=settings.abandon_seconds,
            total_history_bytes=settings.total_history_bytes,
            streams_per_owner=settings.streams_per_client,
        ),
        app_config={},
        credentials=settings.redis_credentials,
    )


def _channels(settings: Settings) -> Channels:
    """Return the channels of all apps, for the readers that they hand over."""
    return Channels(
        settings.redis_url or None,
        credentials=settings.redis_credentials,
        history_seconds=settings.channel_history_seconds,
    )
