"""Replayable streams: kept in memory, or in Redis for several workers and hosts.

``RedisJournal`` is to be had from ``flask_sluice.journal.redis.journal``: importing redis-py takes a seventh of a second, and
who has no Redis need not wait for it.
"""

from flask_sluice.journal.errors import (
    InvalidEventIdError,
    JournalFullError,
    JournalLostError,
    JournalUnavailableError,
    UnknownStreamError,
)
from flask_sluice.journal.memory import MemoryJournal
from flask_sluice.journal.protocol import Follower, Journal, Limits, Recorder

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
