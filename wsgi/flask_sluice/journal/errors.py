"""What a journal refuses, and why. All of these may be shown to a client."""

from flask_sluice.stream.errors import ApiError

_RETRY_SECONDS = 5


class UnknownStreamError(ApiError):
    """There never was such a stream, or it has expired."""

    def __init__(self) -> None:
        super().__init__(404, "not_found", "there is no such stream, or it has expired")


class InvalidEventIdError(ApiError):
    """The stream has not given out the last event id that the client sent.

    last_id: the id of the last event that the stream has
    """

    def __init__(self, last_id: int) -> None:
        super().__init__(
            400,
            "invalid_request",
            f"Last-Event-ID takes the id of an event of this stream, 0 to {last_id}",
            param="last_event_id",
        )


class JournalFullError(ApiError):
    """The worker keeps as many bytes of history as it may."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "overloaded",
            "the history of all streams takes as much room as it may; try again later",
            headers={"Retry-After": str(_RETRY_SECONDS)},
        )


class JournalUnavailableError(ApiError):
    """Redis does not answer, or refuses a command.

    reason: for the log and for operators, not for clients: it names the address of Redis
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            503,
            "redis_unreachable",
            "the store of streams and channels does not answer; try again",
            headers={"Retry-After": str(_RETRY_SECONDS)},
        )
        self.reason = reason


class JournalLostError(ApiError):
    """The producer cannot continue: another worker ended the stream, or Redis took no events for too long.

    The readers are told by that other worker, or as soon as Redis is back.
    """

    def __init__(self, message: str) -> None:
        super().__init__(503, "producer_lost", message)


PRODUCER_LOST = ApiError(502, "producer_lost", "the process that generated the answer is gone")
"""What readers are told of a stream whose producer has died."""
