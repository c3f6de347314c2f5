"""Sluice, with health requests that follow each other quickly."""

from flask_sluice.gateway.relay.health import check

check.CHECK_SECONDS = 0.05
check.CHECK_TIMEOUT_SECONDS = 0.3

from app import app  # noqa: E402, F401
