"""The routes for operators and load balancers: health, readiness, metrics."""

import time

from flask import Blueprint, Response, request

from flask_sluice.gateway.relay.upstream import Upstream, Upstreams
from flask_sluice.journal import Journal
from flask_sluice.observe.exporter import CONTENT_TYPE, MetricsExporter
from flask_sluice.stream import registry
from flask_sluice.stream.errors import ApiError, draining

_PROBE_TIMEOUT_SECONDS = 1.0
_ANSWERED_WHILE_DRAINING = ("/health", "/healthz", "/readyz", "/metrics")
_IGNORED_UPGRADES = ("h2c",)
"""Java's HTTP client offers it with each first request, and goes on with HTTP/1.1 (RFC 9110, section 7.8)."""


def blueprint(upstreams: Upstreams, journal: Journal, metrics: MetricsExporter) -> Blueprint:
    """Return the routes, and the refusal of all other requests while the worker drains."""
    routes = Blueprint("operations", __name__)

    @routes.get("/health")  # Benchmarks such as GuideLLM, and load balancers, ask for vLLM's route.
    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        # Any answer says that the worker's event loop runs.
        return {"status": "ok"}

    @routes.before_app_request
    def refuse_while_draining() -> None:
        if registry.admission().is_draining and request.path not in _ANSWERED_WHILE_DRAINING:
            raise draining()

    @routes.before_app_request
    def refuse_upgrades() -> None:
        upgrade = request.environ.get("HTTP_UPGRADE")
        if upgrade and upgrade.strip().lower() not in _IGNORED_UPGRADES:
            raise _not_relayed(upgrade)
        if request.method == "GET" and request.path.rstrip("/") == "/v1/realtime":
            raise _not_relayed("websocket")

    @routes.get("/metrics")
    def read_metrics() -> Response:
        return Response(metrics.read(), content_type=CONTENT_TYPE)

    @routes.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        """Answer 503 if the next stream would be refused; the body says why."""
        states = {upstream.url: upstream_state(upstream) for upstream in upstreams.all}
        reasons = ["draining"] if registry.admission().is_draining else []
        if registry.admission().is_full:
            reasons.append("overloaded")
        if states and "ok" not in states.values():
            reasons.append("no upstream can be reached")
        if problem := journal.problem():
            reasons.append(problem)
        body: dict[str, object] = {
            "status": "; ".join(reasons) or "ok",
            "streams": registry.admission().count,
        }
        if states:
            body["upstreams"] = states
        return body, 503 if reasons else 200

    def upstream_state(upstream: Upstream) -> str:
        if problem := upstream.problem(time.monotonic()):
            return f"out: {problem}"
        if not upstream.accepts_connections(_PROBE_TIMEOUT_SECONDS):
            return "out: it takes no connection"
        return "ok"

    return routes


def _not_relayed(upgrade: str) -> ApiError:
    is_websocket = "websocket" in upgrade.lower()
    what = "WebSockets are" if is_websocket else f"the upgrade to {upgrade[:80]} is"
    return ApiError(
        501, "not_implemented", f"{what} not relayed; Sluice speaks HTTP and streams events"
    )
