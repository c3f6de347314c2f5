"""How a stream ended, in one word."""

import enum


class Outcome(str, enum.Enum):
    """The three ways in which a stream can end."""

    COMPLETE = "complete"
    ERROR = "error"
    CANCELLED = "cancelled"

    # As enum.StrEnum does from Python 3.11 on.
    __str__ = str.__str__
