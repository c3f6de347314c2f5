"""The streams in Redis that concern this worker."""

import os
from dataclasses import dataclass, field

from flask_sluice.journal.redis.recorder import RedisRecorder
from flask_sluice.journal.window import Window


@dataclass(slots=True, eq=False)
class FollowedStream:
    """A stream that runs, with readers here, and that is read from Redis: another worker produces it.

    owner: the worker that does; "" if it is not known
    missing_since: when Redis was first seen not to have the stream, in monotonic seconds
    """

    stream_id: str
    owner: str
    window: Window
    missing_since: float | None = None


@dataclass(slots=True)
class RedisStreams:
    """All of them, by id. A stream is in one of the two, if in any."""

    own: dict[str, RedisRecorder] = field(default_factory=dict)
    """Those that run, and that this worker produces."""

    followed: dict[str, FollowedStream] = field(default_factory=dict)

    worker_id: str = field(default_factory=lambda: os.urandom(8).hex())
    """Of this journal, and never used again: whoever is dead stays dead."""

    def unfollow(self, stream: FollowedStream) -> None:
        """Unless it has been left and followed anew, which makes it another."""
        if self.followed.get(stream.stream_id) is stream:
            del self.followed[stream.stream_id]
