"""The streams in Redis that concern this worker."""

import os
from dataclasses import dataclass, field

from flask_sluice.journal.redis.recorder import RedisRecorder
from flask_sluice.journal.window import Window


@dataclass(slots=True, eq=False)
class FollowedStream:
    """A running stream that readers of this worker follow and another worker produces.

    owner: the id of the worker that produces it; "" if that is not known
    missing_since: when Redis was first seen not to have the stream, in monotonic seconds
    """

    stream_id: str
    owner: str
    window: Window
    missing_since: float | None = None


@dataclass(slots=True)
class WorkerStreams:
    """All of them, by id. A stream is in at most one of the two dictionaries.

    worker_id: of this process. It is never used again, so that a worker that was taken for dead stays dead
    own: the running streams that this worker produces
    """

    own: dict[str, RedisRecorder] = field(default_factory=dict)
    followed: dict[str, FollowedStream] = field(default_factory=dict)
    worker_id: str = field(default_factory=lambda: os.urandom(8).hex())

    def unfollow(self, stream: FollowedStream) -> None:
        """Remove a stream, unless it was left and followed anew, which makes it another object."""
        if self.followed.get(stream.stream_id) is stream:
            del self.followed[stream.stream_id]
