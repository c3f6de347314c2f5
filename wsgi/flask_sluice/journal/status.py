"""What is known of a stream, for a page that is loaded again."""

import time
from dataclasses import dataclass
from typing import Literal

from flask_sluice.journal.protocol import Description
from flask_sluice.journal.reading.told_error import error_in
from flask_sluice.stream.errors import ENDED_BY_APP, ErrorBody

State = Literal["running", "complete", "error", "stopped"]


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How a stream is doing.

    id: of the stream
    state: how far it is
    last_id: the number of its last event, 0 if it has none
    created_at: in seconds since 1970; None if the store has lost it
    expires_at: when it will be forgotten, in seconds since 1970; None while it runs
    error: of a stream that failed or was stopped: message, type, param and code
    """

    id: str
    state: State
    last_id: int
    created_at: float | None
    expires_at: float | None = None
    error: ErrorBody | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def just_begun(stream_id: str) -> StreamStatus:
    """Return the status of a stream that has begun at this moment."""
    return StreamStatus(stream_id, "running", 0, time.time())


def status_of(stream_id: str, description: Description) -> StreamStatus:
    """Return what a journal's description says."""
    about, terminal_event = description.about, description.terminal_event
    state: State = "running"
    error = None
    if terminal_event is not None:
        error = error_in(terminal_event)
        state = "complete" if error is None else "error"
        if error is not None and error["code"] in ENDED_BY_APP:
            state = "stopped"
    return StreamStatus(
        stream_id,
        state,
        description.last_id,
        None if about is None else about.created_at,
        description.expires_at,
        error,
    )
