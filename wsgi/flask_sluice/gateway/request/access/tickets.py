"""Tickets: permissions for one stream that stand in its URL, for clients that cannot send headers."""

import hashlib
import re
import time
from typing import Literal

from itsdangerous import Signer

Permission = Literal["read", "stop"]

_TICKET = re.compile(
    r"(?P<expires_at>[0-9]{1,12})\.(?P<stop>stop\.)?(?P<signature>[\w-]+)", re.ASCII
)

_SCRYPT_COST = 2**13
"""20 ms and 8 MiB for each guess of a key by a program that has a ticket, and for each key at a worker's start."""


class Tickets:
    """Signs and checks tickets, each a permission to read or to stop one stream until some time.

    All workers and hosts with the same keys issue and accept the same tickets. The first key signs, all are accepted: adding a
    key at the end invalidates no ticket, and removing one invalidates those that it signed.

    keys: the secret keys, or the API keys where there are none
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        # itsdangerous signs with the last one. The keys may have been chosen by people, and a ticket is in logs and histories:
        # a plain hash would let its finder try a billion keys a second.
        secrets = [_derive(key) for key in reversed(keys)]
        self._signer = Signer(secrets, salt="sluice stream", digest_method=hashlib.sha256)

    def issue(self, stream_id: str, expires_at: int, permission: Permission) -> str:
        """Return a ticket. ``expires_at`` is in seconds since 1970."""
        signature = self._signer.get_signature(
            _terms(stream_id, str(expires_at), permission)
        ).decode()
        return f"{expires_at}.{'stop.' if permission == 'stop' else ''}{signature}"

    def permission_of(self, ticket: str, stream_id: str) -> Permission | Literal["expired"] | None:
        """Return what the ticket permits, "expired" if it did once, None if it is not ours or for another stream."""
        match = _TICKET.fullmatch(ticket)
        if match is None:
            return None
        permission: Permission = "stop" if match["stop"] else "read"
        signed = _terms(stream_id, match["expires_at"], permission)
        if not self._signer.verify_signature(signed, match["signature"]):
            return None
        return permission if time.time() < int(match["expires_at"]) else "expired"


def _terms(stream_id: str, expires_at: str, permission: Permission) -> str:
    return f"{permission}.{expires_at}.{stream_id}"


def _derive(key: str) -> bytes:
    # The salt is the same everywhere, because all hosts have to derive the same secret.
    return hashlib.scrypt(
        key.encode(), salt=b"flask-sluice tickets", n=_SCRYPT_COST, r=8, p=1, dklen=32
    )
