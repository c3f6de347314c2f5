"""Replayable streams: kept in memory, or in Redis for several workers and hosts.

``RedisJournal`` is to be had from ``wsgi.journal.redis_journal``: importing redis-py takes a seventh of a second, and
who has no Redis need not wait for it.
"""

from wsgi.journal.errors import (
    InvalidEventIdError,
    JournalFullError,
    JournalLostError,
    JournalUnavailableError,
    UnknownStreamError,
)
from wsgi.journal.journal import Follower, Journal, Limits, Recorder
from wsgi.journal.memory import MemoryJournal

__all__ = [
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
