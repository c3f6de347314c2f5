"""Streams that are kept: in the memory of one process, or in Redis for several workers and hosts.

The way of an event: ``Generation`` (or a ``KeptStream``, for a program that publishes) gives it to a ``Recorder``. In memory
that appends it to the stream's ``Window`` at once; with Redis it waits for the ``EventWriter``, and is appended when Redis
has it. On other workers the ``Subscriber`` appends it to their window of the stream. A ``Follower`` takes it from the
window for a reader, and ``JournalFeed`` gives it to the reader's ``EventStream``.

``RedisJournal`` is imported from ``flask_sluice.journal.redis.journal``, since an app that does not use Redis should
not wait for the import of redis-py.
"""

from flask_sluice.journal.errors import (
    InvalidEventIdError,
    JournalFullError,
    JournalLostError,
    JournalUnavailableError,
    UnknownStreamError,
)
from flask_sluice.journal.memory import MemoryJournal
from flask_sluice.journal.protocol import About, Follower, Journal, Limits, Recorder

__all__ = [
    "About",
    "Follower",
    "InvalidEventIdError",
    "Journal",
    "JournalFullError",
    "JournalLostError",
    "JournalUnavailableError",
    "Limits",
    "MemoryJournal",
    "Recorder",
    "UnknownStreamError",
]
