"""Who asks: what limits count by."""

import hashlib

from flask.globals import request_ctx

from flask_sluice.gateway.request.auth import given_key, needs_key
from flask_sluice.gateway.request.trusted_proxies import client_network
from flask_sluice.gateway.settings import Settings


def client_name(settings: Settings) -> str:
    """The API key's hash, which may be stored and logged, or, without keys, the address. "" if there is neither.

    A key that is not checked could be another one in each request, and is no name.
    """
    request = request_ctx.request
    if settings.api_keys and needs_key(request.path):
        return hashlib.sha256(given_key().encode()).hexdigest()[:32]
    return client_network(request.remote_addr) if request.remote_addr else ""
