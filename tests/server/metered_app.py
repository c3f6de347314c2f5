"""Sluice in an app that has metrics of its own, and a page of its own for all of its workers."""

from flask import Response
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app import app

__all__ = ["app"]

scrapes = Counter("app_scrapes", "How often /app/metrics was asked for")


@app.get("/app/metrics")
def app_metrics() -> Response:
    scrapes.inc()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return Response(generate_latest(registry), mimetype="text/plain")
