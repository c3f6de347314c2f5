"""The routes for operators and load balancers: health, readiness, metrics."""

import time

from flask import Blueprint, Response, request

from flask_sluice.gateway.relay.upstream import Upstream, Upstreams
from flask_sluice.journal import Journal
from flask_sluice.observe.exporter import CONTENT_TYPE, MetricsExporter
from flask_sluice.stream import registry
from flask_sluice.stream.errors import draining

_PROBE_TIMEOUT_SECONDS = 1.0
_ANSWERED_WHILE_DRAINING = ("/healthz", "/readyz", "/metrics")


def blueprint(upstreams: Upstreams, journal: Journal, metrics: MetricsExporter) -> Blueprint:
    """Return the routes, and the refusal of all other requests while the worker drains."""
    routes = Blueprint("operations", __name__)

    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        # Any answer says that the worker's event loop runs.
        return {"status": "ok"}

    @routes.before_app_request
    def refuse_while_draining() -> None:
        if registry.admission().is_draining and request.path not in _ANSWERED_WHILE_DRAINING:
            raise draining()

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
        if upstream.is_out(time.monotonic()):
            return "out: it has failed three times running"
        if not upstream.accepts_connections(_PROBE_TIMEOUT_SECONDS):
            return "out: it takes no connection"
        return "ok"

    return routes
