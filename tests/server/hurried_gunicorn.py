"""gunicorn.conf.py, with less time for clients to send a request."""

import runpy

globals().update(runpy.run_path("gunicorn.conf.py"))

from flask_sluice.gateway.request import body_budget  # noqa: E402 - gunicorn.conf.py patches first
from flask_sluice.server import connections  # noqa: E402

connections.HEAD_SECONDS = 1.0
connections.REST_OF_BODY_SECONDS = 2.0
body_budget.SLOW_SECONDS = 1.0
