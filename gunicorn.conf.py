"""gunicorn's settings for the gateway in this checkout; flask_sluice.gateway.gunicorn_settings has each with its reason."""

# Before anything imports ssl, socket or threading: what is imported unpatched blocks the whole worker.
from gevent import monkey

monkey.patch_all()

from flask_sluice.gateway.gunicorn_settings import *  # noqa: F403
