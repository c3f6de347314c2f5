"""API keys, and the tickets that stand for them where a client cannot send headers."""

import hashlib
import hmac
import time

from flask import Flask, request
from itsdangerous import BadSignature, Signer

from flask_sluice.stream.errors import ApiError


class Tickets:
    """Signed permissions to use one stream for some time.

    All workers and hosts with the same keys make and accept the same tickets.

    keys: the API keys; the secret is made of them
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        secret = hashlib.sha256("\n".join(sorted(keys)).encode()).digest()
        self._signer = Signer(secret, salt="sluice stream", digest_method=hashlib.sha256)

    def issue(self, stream_id: str, expires_at: int) -> str:
        """``expires_at``: seconds since 1970."""
        signed = self._signer.sign(f"{stream_id}.{expires_at}").decode()
        return signed.removeprefix(f"{stream_id}.")

    def accept(self, ticket: str, stream_id: str) -> bool:
        """False for one that is forged, too old, or of another stream."""
        try:
            signed = self._signer.unsign(f"{stream_id}.{ticket}").decode()
        except BadSignature:
            return False
        return time.time() < int(signed.rpartition(".")[2])


def register(app: Flask, keys: tuple[str, ...]) -> None:
    """Requests below /v1 need one of the keys, or, for one stream, its ticket."""
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
    return path.startswith("/v1/")


def given_key() -> str:
    """The key that the client has sent, as OpenAI's or as Anthropic's clients do; "" if none."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return request.headers.get("X-Api-Key", "")


def _is_one_of(keys: tuple[str, ...], given: str) -> bool:
    """Takes the same time whichever key it is, and whether it is one."""
    matches = [hmac.compare_digest(key.encode(), given.encode()) for key in keys]
    return any(matches)
