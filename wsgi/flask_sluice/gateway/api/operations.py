"""The routes for operators and load balancers: health, readiness, metrics."""

from flask import Blueprint, Response, request

from flask_sluice.gateway.api.openapi.operation import (
    OBJECT,
    TEXT,
    Operation,
    Operations,
    json_object,
)
from flask_sluice.gateway.api.readiness import Readiness
from flask_sluice.observe.exporter import CONTENT_TYPE, MetricsExporter
from flask_sluice.stream import registry
from flask_sluice.stream.errors import ApiError, draining

_ANSWERED_WHILE_DRAINING = ("/health", "/healthz", "/readyz", "/metrics")
_IGNORED_UPGRADES = ("h2c",)
"""Java's HTTP client offers it with each first request, and goes on with HTTP/1.1 (RFC 9110, section 7.8)."""


_HEALTH = Operation(
    "Tell that the process turns its loop",
    "Operations",
    answer=json_object("status", status=TEXT),
)
OPERATIONS: Operations = {
    ("GET", "/health"): _HEALTH,
    ("GET", "/healthz"): _HEALTH,
    ("GET", "/readyz"): Operation(
        "Tell whether the next chat would be served", "Operations", answer=OBJECT, errors=(503,)
    ),
    ("GET", "/metrics"): Operation("Count for Prometheus", "Operations", other="text/plain"),
}


def blueprint(readiness: Readiness, metrics: MetricsExporter) -> Blueprint:
    """Return the routes, and the refusal of all other requests while the worker drains."""
    routes = Blueprint("operations", __name__)

    @routes.get("/health")  # Benchmarks such as GuideLLM, and load balancers, ask for vLLM's route.
    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        # Any answer says that the worker's event loop runs.
        return {"status": "ok"}

    @routes.before_app_request
    def refuse_while_draining() -> None:
        if registry.admission().refuses_requests and request.path not in _ANSWERED_WHILE_DRAINING:
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
        """Answer 503 if the next chat would be refused; the body says why, and how all else is."""
        is_ready, document = readiness.report()
        return document, 200 if is_ready else 503

    return routes


def _not_relayed(upgrade: str) -> ApiError:
    is_websocket = "websocket" in upgrade.lower()
    what = "WebSockets are" if is_websocket else f"the upgrade to {upgrade[:80]} is"
    return ApiError(
        501, "not_implemented", f"{what} not relayed; Sluice speaks HTTP and streams events"
    )
