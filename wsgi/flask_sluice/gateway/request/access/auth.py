"""API keys: which requests need one, and whether it is right."""

import hmac

from flask import Flask, request

from flask_sluice.gateway.request.access.tickets import Tickets
from flask_sluice.gateway.request.access.wrong_keys import WrongKeys
from flask_sluice.gateway.request.trusted_proxies import client_network
from flask_sluice.stream.errors import ApiError

_TICKET = -1
"""Stands for all valid tickets where keys are numbered: with one of them the signing key could be guessed elsewhere."""


def register(app: Flask, keys: tuple[str, ...], tickets: Tickets) -> None:
    """Refuse requests to an API that have neither one of the keys nor, for one stream, its ticket."""
    wrong_keys = WrongKeys()
    encoded_keys = [key.encode() for key in keys]

    @app.before_request
    def require_key() -> None:
        if not needs_key(request.path):
            return
        key, ticket, permission = given_key(), "", None
        credential = _find(encoded_keys, key.encode())
        if credential is None:
            stream_id: str = (request.view_args or {}).get("stream_id", "")
            ticket = request.args.get("ticket", "") if stream_id else ""
            permission = tickets.permission_of(ticket, stream_id) if ticket else None
            credential = _TICKET if permission else None
        if key or ticket:
            address = client_network(request.remote_addr) if request.remote_addr else ""
            wrong_keys.check(address, credential)
        if credential is None or permission == "expired":
            raise ApiError(
                401,
                "invalid_api_key",
                "this server takes an API key, as `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if permission == "read" and request.method not in ("GET", "HEAD"):
            raise ApiError(
                403,
                "read_only_ticket",
                "the ticket in this URL is for reading; use `stop_url`, or an API key",
            )


def needs_key(path: str) -> bool:
    """Return whether the path is one of an API: OpenAI's and Anthropic's, Azure's, Ollama's or Google's."""
    return path.startswith(("/v1/", "/openai/", "/api/", "/v1beta/"))


def given_key() -> str:
    """Return the key of the current request, "" if none.

    It is in the header of OpenAI's, Anthropic's, Azure's or Google's clients. Google's may have it in the query, and only
    its API takes it there: a URL is seen by more programs than a header.
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    for name in ("X-Api-Key", "Api-Key", "X-Goog-Api-Key"):
        if key := request.headers.get(name, "").strip():
            return key
    if request.path.startswith("/v1beta/"):
        return request.args.get("key", "").strip()
    return ""


def _find(keys: list[bytes], given: bytes) -> int | None:
    """Return which of the keys this is."""
    # Compares all of them, so that the time does not tell which key matches, or whether one does.
    matches = [hmac.compare_digest(key, given) for key in keys]
    return matches.index(True) if True in matches else None
