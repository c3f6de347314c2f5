"""The name of a client, which limits count by."""

import hashlib
from typing import Any

import msgspec
from flask import Request, request

from flask_sluice.gateway.request.access.auth import given_key, needs_key
from flask_sluice.gateway.request.trusted_proxies import client_network
from flask_sluice.gateway.settings import Settings

_USER = "sluice.user"


def client_name(settings: Settings) -> str:
    """Return the hash of the current request's API key, which may be stored and logged, or else its address.

    Where no key is required the address counts, because a client could send a different key with each request. Behind a
    unix socket all clients have the same peer and no address ("") unless the proxy is trusted to name them.
    """
    if settings.api_keys and needs_key(request.path):
        return _hash(given_key())
    return _address()


def owner_name(settings: Settings) -> str:
    """Return the name of the client that the current request's stream belongs to, "" if it has none.

    That is what ``SLUICE_CLIENT_IS`` says. A user is one of a key, since without keys a client could name a different one
    with each request; where a request names none, its address counts.
    """
    if not settings.api_keys or settings.client_is == "key":
        return client_name(settings)
    user = request.environ.get(_USER, "") if settings.client_is == "user" else ""
    if user:
        return _hash(f"{given_key()}\n{user}")
    return _address() or client_name(settings)


class _Users(msgspec.Struct):
    """OpenAI's fields for the user that a request is made for; ``user`` is the older one."""

    safety_identifier: Any = None
    user: Any = None


def note_user(request: Request, body: bytes) -> None:
    """Note the user that a JSON body names, for ``owner_name``. The body has been decoded before."""
    fields = msgspec.json.decode(body, type=_Users)
    user = fields.safety_identifier or fields.user
    if isinstance(user, str):
        request.environ[_USER] = user


def _address() -> str:
    return client_network(request.remote_addr) if request.remote_addr else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
