"""The response that is being made: its id, what came before it, and where it is kept."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from flask_sluice.gateway.simulator.apis.responses.items import Item

ID_BEGINNING = "resp_"
_TOKEN_BYTES = 24


class Keeper(Protocol):
    """Keeps the events of a response, so that it can be read later. It must not block after ``begin``."""

    def begin(self, event: bytes, render_abandoned: Callable[[], bytes]) -> None:
        """Take the first event. May block. render_abandoned: makes the last event of an answer that is broken off"""

    def add(self, event: bytes) -> None:
        """Take the next event."""

    def end(self, event: bytes) -> None:
        """Take the last event, which contains the whole response."""


@dataclass(slots=True)
class Made:
    """What a response has beside what its request says and what is answered.

    token: what is its own in its id and in those of its items; it is impossible to guess
    history: the items of the conversation before it
    tools: those of the request, undecoded
    keeper: None: nothing is kept of it, or the reader of the whole stream keeps it
    """

    token: str = field(default_factory=lambda: secrets.token_hex(_TOKEN_BYTES))
    created_at: int = field(default_factory=lambda: int(time.time()))
    history: list[Item] = field(default_factory=list)
    tools: list[msgspec.Raw] = field(default_factory=list)
    keeper: Keeper | None = None

    @property
    def id(self) -> str:
        return ID_BEGINNING + self.token
