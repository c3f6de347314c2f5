"""Tickets: permissions for one stream that stand in its URL, for clients that cannot send headers."""

import re
import time
from collections.abc import Sequence
from typing import Literal

from flask_sluice.extension.ticket_signer import TicketSigner

Permission = Literal["read", "stop"]

_TICKET = re.compile(
    r"(?P<expires_at>[0-9]{1,12})\.(?P<stop>stop\.)?(?P<signature>[\w-]+)", re.ASCII
)


class Tickets:
    """Signs and checks tickets, each a permission to read or to stop one stream until some time.

    keys: the secret keys, or the API keys where there are none; see ``TicketSigner``
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._signer = TicketSigner(keys, "sluice stream")

    def issue(self, stream_id: str, expires_at: int, permission: Permission) -> str:
        """Return a ticket. ``expires_at`` is in seconds since 1970."""
        signature = self._signer.sign(_terms(stream_id, str(expires_at), permission))
        return f"{expires_at}.{'stop.' if permission == 'stop' else ''}{signature}"

    def permission_of(self, ticket: str, stream_id: str) -> Permission | Literal["expired"] | None:
        """Return what the ticket permits, "expired" if it did once, None if it is not ours or for another stream."""
        match = _TICKET.fullmatch(ticket)
        if match is None:
            return None
        permission: Permission = "stop" if match["stop"] else "read"
        signed = _terms(stream_id, match["expires_at"], permission)
        if not self._signer.has_signed(signed, match["signature"]):
            return None
        return permission if time.time() < int(match["expires_at"]) else "expired"


def _terms(stream_id: str, expires_at: str, permission: Permission) -> str:
    return f"{permission}.{expires_at}.{stream_id}"
