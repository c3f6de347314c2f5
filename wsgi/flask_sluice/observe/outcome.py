"""How a stream ended, in one word."""

import enum


class Outcome(str, enum.Enum):
    """The three ways in which a stream can end."""

    COMPLETE = "complete"
    ERROR = "error"
    CANCELLED = "cancelled"

    # Python 3.11's enum.StrEnum does the same: str(Outcome.ERROR) is "error".
    __str__ = str.__str__
