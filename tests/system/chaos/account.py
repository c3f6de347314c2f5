"""What readers were told, request by request."""

import time
from collections import Counter
from dataclasses import dataclass, field

CHAT = "/v1/chat/completions"
START = "/v1/streams"
READ = "/v1/streams/<stream_id>"


@dataclass
class Attempt:
    """One request, as its sender saw it.

    told: ``complete``, ``started``, ``over`` (204), ``error CODE``, ``refused STATUS CODE``, ``cut``, or ``left``
    detail: what the client's socket said
    by_nginx: whether nginx itself refused
    has_begun: whether an event has come
    """

    request_id: str
    route: str
    started_at: float = field(default_factory=time.monotonic)
    ended_at: float = 0.0
    told: str = ""
    detail: str = ""
    by_nginx: bool = False
    has_begun: bool = False
    events: int = 0


@dataclass
class Answer:
    """A resumable answer, as its reader saw it in the end. request_id: that of the request that started it"""

    request_id: str
    told: str


@dataclass
class Accounts:
    """What all readers saw. faults: what no reader may see, in words"""

    attempts: list[Attempt] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def begin(self, request_id: str, route: str) -> Attempt:
        attempt = Attempt(request_id, route)
        self.attempts.append(attempt)
        return attempt

    def fault(self, attempt: Attempt, text: str) -> None:
        self.faults.append(f"{text}: {attempt}")

    def refusals(self) -> Counter[tuple[str, str]]:
        """Return how many requests the gateway has refused, by status and code."""
        told = [each.told.split() for each in self.attempts if not each.by_nginx]
        return Counter((words[1], words[2]) for words in told if words[0] == "refused")
