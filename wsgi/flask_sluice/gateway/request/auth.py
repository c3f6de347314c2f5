"""API keys, and the tickets that replace them in URLs, for clients that cannot send headers."""

import hashlib
import hmac
import time

from flask import Flask, request
from itsdangerous import BadSignature, Signer

from flask_sluice.stream.errors import ApiError


class Tickets:
    """Signs and checks tickets, each a permission to use one stream until some time.

    All workers and hosts with the same keys issue and accept the same tickets.

    keys: the API keys, from which the signing secret is derived
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        secret = hashlib.sha256("\n".join(sorted(keys)).encode()).digest()
        self._signer = Signer(secret, salt="sluice stream", digest_method=hashlib.sha256)

    def issue(self, stream_id: str, expires_at: int) -> str:
        """Return a ticket. ``expires_at`` is in seconds since 1970."""
        signed = self._signer.sign(f"{stream_id}.{expires_at}").decode()
        return signed.removeprefix(f"{stream_id}.")

    def accept(self, ticket: str, stream_id: str) -> bool:
        """Return whether the ticket is signed by us, for this stream, and has not expired."""
        try:
            signed = self._signer.unsign(f"{stream_id}.{ticket}").decode()
        except BadSignature:
            return False
        return time.time() < int(signed.rpartition(".")[2])


def register(app: Flask, keys: tuple[str, ...]) -> None:
    """Refuse requests below /v1 that have neither one of the keys nor, for one stream, its ticket."""
    tickets = Tickets(keys)

    @app.before_request
    def require_key() -> None:
        if not needs_key(request.path) or _is_one_of(keys, given_key()):
            return
        stream_id = (request.view_args or {}).get("stream_id")
        if stream_id is None or not tickets.accept(request.args.get("ticket", ""), stream_id):
            raise ApiError(
                401,
                "invalid_api_key",
                "this server takes an API key, as `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )


def needs_key(path: str) -> bool:
    return path.startswith(("/v1/", "/openai/"))


def given_key() -> str:
    """Return the key of the current request, in the header of OpenAI's, Anthropic's, Azure's or Google's clients; "" if
    none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    for name in ("X-Api-Key", "Api-Key", "X-Goog-Api-Key"):
        if key := request.headers.get(name, "").strip():
            return key
    return ""


def _is_one_of(keys: tuple[str, ...], given: str) -> bool:
    # Compares all of them, so that the time does not tell which key matches, or whether one does.
    matches = [hmac.compare_digest(key.encode(), given.encode()) for key in keys]
    return any(matches)
