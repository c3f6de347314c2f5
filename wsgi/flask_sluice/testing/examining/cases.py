"""What the client meets, and what a client that can be trusted does then."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

TEXT = (
    "A reader who has half of an answer has to know it. This one ends with three words “café, naïve, 🌊”: "
    "a reader who shows them has read it to its end."
)
"""The answer that the client gets: none of its pieces comes twice, and two are not ASCII."""


class Expected(Enum):
    """How a client that can be trusted ends."""

    SUCCESS = "success"
    """With the whole answer: nothing that matters is wrong."""
    FAILURE = "failure"
    """With an error, or with the whole answer after it has asked again."""
    EITHER = "either"
    """The answer is whole, but the sign that it is does not come: both are defensible."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way in which an answer can come.

    name: for programs and tables
    what: happens, in a few words
    fault: as the ``fault`` of a request's ``simulator`` object; None: nothing is wrong
    is_once: whether only the first request meets the fault, so that a client that asks again succeeds
    """

    name: str
    what: str
    expected: Expected
    fault: dict[str, Any] | None = None
    is_once: bool = False


_AFTER = 12
"""In the middle of the text."""

WHOLE = Case("whole", "the answer is whole", Expected.SUCCESS)
CASES = (
    WHOLE,
    Case(
        "heartbeat",
        "a comment or a ping comes between two tokens",
        Expected.SUCCESS,
        {"kind": "heartbeat", "after": _AFTER},
    ),
    Case(
        "split-character",
        "a character comes in two halves",
        Expected.SUCCESS,
        {"kind": "split_utf8", "after": 0},
    ),
    Case(
        "no-terminal-event",
        "all tokens and the finish reason come, the terminal event does not",
        Expected.EITHER,
        {"kind": "no_done"},
    ),
    Case(
        "truncated",
        "the body ends properly in mid-answer, without a finish reason and a terminal event",
        Expected.FAILURE,
        {"kind": "truncate", "after": _AFTER},
    ),
    Case(
        "error-event",
        "an error event ends the answer",
        Expected.FAILURE,
        {"kind": "error_event", "after": _AFTER},
    ),
    Case(
        "malformed",
        "an event in mid-answer is not JSON",
        Expected.FAILURE,
        {"kind": "malformed", "after": _AFTER},
    ),
    Case(
        "cut",
        "the connection ends (FIN) in mid-answer",
        Expected.FAILURE,
        {"kind": "cut", "after": _AFTER},
    ),
    Case(
        "reset",
        "the connection is reset (RST) in mid-answer",
        Expected.FAILURE,
        {"kind": "reset", "after": _AFTER},
    ),
    Case(
        "stall",
        "nothing but heartbeats comes from the middle of the answer on",
        Expected.FAILURE,
        {"kind": "stall", "after": _AFTER},
    ),
    Case(
        "duplicate",
        "one event comes twice",
        Expected.EITHER,
        {"kind": "duplicate", "after": _AFTER},
    ),
    Case(
        "not-a-stream",
        "200 with a JSON body that says 503, as some proxies send it",
        Expected.FAILURE,
        {"kind": "json_body"},
    ),
    Case(
        "overloaded-once",
        "503 with Retry-After: 1, once",
        Expected.FAILURE,
        {"kind": "status", "status": 503, "retry_after": 1},
        is_once=True,
    ),
    Case(
        "rate-limited",
        "429 with Retry-After: 1, always",
        Expected.FAILURE,
        {"kind": "status", "status": 429, "retry_after": 1},
    ),
)
