"""The name of a client, which limits count by."""

import hashlib

from flask import request

from flask_sluice.gateway.request.access.auth import given_key, needs_key
from flask_sluice.gateway.request.trusted_proxies import client_network
from flask_sluice.gateway.settings import Settings


def client_name(settings: Settings) -> str:
    """Return the hash of the current request's API key, which may be stored and logged, or else its address.

    Where no key is required the address counts, because a client could send a different key with each request. Behind a
    unix socket all clients have the same peer and no address ("") unless the proxy is trusted to name them.
    """
    if settings.api_keys and needs_key(request.path):
        return hashlib.sha256(given_key().encode()).hexdigest()[:32]
    return client_network(request.remote_addr) if request.remote_addr else ""
