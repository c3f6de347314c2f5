"""How streams are stored in Redis.

Each stream is a Redis Stream whose ids are the numbers of its events, ``1-0``, ``2-0`` and so on: reading from a number
on is a seek, and adding an event twice fails. The terminal event has the largest id that Redis knows, whatever its
number. So the producer, or another worker that takes the producer for dead, ends the stream in one atomic step, and
nothing can be added after it. Its number is one more than that of the event before it; it is stored without its id.

A worker's inbox is a Redis Stream, too. It is also the worker's lease: the key expires unless the worker renews it. Other
workers tell it the events of the streams that it follows, which they produce; see ``EventFeed``.

The keys of a stream share a hash tag, so that a cluster keeps them in one slot. No command and no transaction touches two.

Every key has a time to live.
"""

from dataclasses import dataclass

from flask_sluice.journal.protocol import About
from flask_sluice.journal.redis.servers.connection import Reply
from flask_sluice.journal.redis.servers.packing import Command
from flask_sluice.journal.window import numbered

_TERMINAL_NUMBER = 2**63 - 1
_INBOX_LENGTH = 2000
_INBOX_BYTES = 16 * 1024 * 1024
"""Messages that were read are removed every second. A worker that stalls loses the oldest, and reads its streams instead."""

EVENTS, FOLLOW, STOP = b"events", b"follow", b"stop"
"""What a message in an inbox is: a ``Told``, a ``Following``, or the id of a stream."""


def stream_key(stream_id: str) -> str:
    return f"sluice:{{{stream_id}}}"


def producer_key(stream_id: str) -> str:
    """The key of the id of the worker that produces the stream, which that worker renews with its lease.

    It is deleted when the stream is finished.
    """
    return f"sluice:{{{stream_id}}}:owner"


def about_key(stream_id: str) -> str:
    """The key of what is known of the stream from its beginning: see ``About``, and which worker produces it."""
    return f"sluice:{{{stream_id}}}:about"


def name_key(name: str) -> str:
    """The key of the id of the newest stream of a name; see ``About.names``."""
    return f"sluice:name:{name}"


def readers_key(stream_id: str) -> str:
    """The key that exists while a worker other than the producer's has readers, and for a while afterwards."""
    return f"sluice:{{{stream_id}}}:readers"


def inbox_key(worker_id: str) -> str:
    return f"sluice:inbox:{worker_id}"


def milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


# Commands.


def create_stream(
    stream_id: str, about: About, worker_id: str, ttl_ms: int, lease_ms: int
) -> list[Command]:
    """Create a stream without events. If it has events, the first command fails and nothing is lost."""
    key = stream_key(stream_id)
    return [
        ("XADD", key, "MAXLEN", 0, "0-1", "", ""),
        ("PEXPIRE", key, ttl_ms),
        *say_about(stream_id, about, worker_id, ttl_ms),
        produce_stream(stream_id, worker_id, lease_ms),
    ]


def say_about(stream_id: str, about: About, worker_id: str, ttl_ms: int) -> list[Command]:
    key = about_key(stream_id)
    values: Command = ("owner", about.owner, "key", about.key, "created_at", str(about.created_at))
    return [("HSET", key, *values, "producer", worker_id), ("PEXPIRE", key, ttl_ms)]


def name_stream(name: str, stream_id: str, ttl_ms: int) -> Command:
    """Have the name lead to the stream."""
    return ("SET", name_key(name), stream_id, "PX", ttl_ms)


def renew_name(name: str, stream_id: str, ttl_ms: int) -> list[Command]:
    """Keep the name, whichever stream it leads to by now; have it lead to this one if it is gone."""
    key = name_key(name)
    return [("SET", key, stream_id, "NX", "PX", ttl_ms), ("PEXPIRE", key, ttl_ms)]


def produce_stream(stream_id: str, worker_id: str, lease_ms: int) -> Command:
    """Say which worker produces the stream, also where that has been said already or was lost."""
    return ("SET", producer_key(stream_id), worker_id, "PX", lease_ms)


def renew_producer(stream_id: str, lease_ms: int) -> list[Command]:
    """Say again that the producer lives. The results are how many there are of the key of that, and of the two others.

    A Redis that is full takes this, too.
    """
    return [
        ("PEXPIRE", producer_key(stream_id), lease_ms),
        ("EXISTS", stream_key(stream_id), about_key(stream_id)),
    ]


def renew_stream(stream_id: str, ttl_ms: int) -> list[Command]:
    """Have a running stream expire later."""
    return [
        ("PEXPIRE", stream_key(stream_id), ttl_ms),
        ("PEXPIRE", about_key(stream_id), ttl_ms),
    ]


def add_event(stream_id: str, number: int, event: bytes, oldest: int = 0) -> Command:
    """Add an event.

    oldest: the number of the first event that is kept; 0: nothing is dropped
    """
    key, entry_id = stream_key(stream_id), f"{number}-0"
    if oldest:
        return ("XADD", key, "NOMKSTREAM", "MINID", "=", f"{oldest}-0", entry_id, "e", event)
    return ("XADD", key, "NOMKSTREAM", entry_id, "e", event)


def finish_stream(stream_id: str, event: bytes, ttl_ms: int) -> list[Command]:
    """Add the terminal event.

    The first command's result is the id; an error if the stream has its terminal event already; None if it is gone.
    """
    key = stream_key(stream_id)
    return [
        ("XADD", key, "NOMKSTREAM", f"{_TERMINAL_NUMBER}-0", "e", event),
        ("PEXPIRE", key, ttl_ms),
        ("PEXPIRE", about_key(stream_id), ttl_ms),
        ("DEL", producer_key(stream_id)),
    ]


def delete_stream(stream_id: str) -> Command:
    return ("DEL", stream_key(stream_id), about_key(stream_id))


def everything(tag: str) -> list[Command]:
    """Return one of each command that streams need, on keys of the two forms. None of them changes anything.

    tag: the keys' hash tag, which no stream has for its id
    """
    stream, inbox = stream_key(tag), inbox_key(f"{{{tag}}}")
    return [
        ("XADD", stream, "NOMKSTREAM", "MINID", "=", "1-0", "*", "e", ""),
        ("XADD", inbox, "NOMKSTREAM", "MAXLEN", "~", _INBOX_LENGTH, "*", STOP, ""),
        ("SET", producer_key(tag), "", "XX", "PX", 1),
        ("GET", producer_key(tag)),
        ("HGETALL", about_key(tag)),
        ("PEXPIRE", inbox, 1),
        ("PTTL", readers_key(tag)),
        ("EXISTS", stream),
        ("DEL", producer_key(tag)),
        ("XREVRANGE", stream, "+", "-", "COUNT", 1),
        ("XRANGE", stream, "-", "+", "COUNT", 1),
        ("XREAD", "COUNT", 1, "STREAMS", inbox, "0"),
        ("XTRIM", inbox, "MINID", "=", "0-1"),
    ]


def read_after(stream_id: str, number: int, count: int) -> Command:
    """Read what follows an event, the terminal event too. For the entries of the reply see ``event_of``."""
    return ("XRANGE", stream_key(stream_id), f"{number + 1}-0", "+", "COUNT", count)


def read_last(stream_id: str) -> Command:
    """For the reply see ``LastEvent.of``."""
    return ("XREVRANGE", stream_key(stream_id), "+", "-", "COUNT", 2)


def read_events(stream_id: str, first: int, last: int, count: int) -> Command:
    """For the entries of the reply see ``event_of``."""
    return ("XRANGE", stream_key(stream_id), f"{first}-0", f"{last}-0", "COUNT", count)


def renew_lease(worker_id: str, ttl_ms: int) -> list[Command]:
    """Create the worker's inbox, or renew it."""
    key = inbox_key(worker_id)
    return [
        ("XADD", key, "MAXLEN", "~", _INBOX_LENGTH, "*", "lease", ""),
        ("PEXPIRE", key, ttl_ms),
    ]


def has_readers(stream_id: str, ttl_ms: int) -> Command:
    return ("SET", readers_key(stream_id), "", "PX", ttl_ms)


def ask_to_stop(worker_id: str, stream_id: str) -> Command:
    """Ask the worker to stop a stream that it produces. The result is None if the worker is gone."""
    return _send(worker_id, STOP, stream_id.encode())


def tell(worker_id: str, told: bytes) -> Command:
    """Tell the worker what it follows. The result is None if the worker is gone. told: a ``Told``"""
    return _send(worker_id, EVENTS, told)


def follow(worker_id: str, following: bytes) -> Command:
    """Tell the worker which of its streams another follows. The result is None if it is gone. following: a ``Following``"""
    return _send(worker_id, FOLLOW, following)


def remove_read(worker_id: str, position: str) -> Command:
    """Remove the messages of the worker's inbox up to this id."""
    milliseconds_, _, number = position.partition("-")
    return ("XTRIM", inbox_key(worker_id), "MINID", "=", f"{milliseconds_}-{int(number) + 1}")


def _send(worker_id: str, word: bytes, about: bytes) -> Command:
    key = inbox_key(worker_id)
    # The bytes of an inbox are counted as if all its messages were as long as this one.
    length = min(_INBOX_LENGTH, _INBOX_BYTES // (len(about) + 1))
    return ("XADD", key, "NOMKSTREAM", "MAXLEN", "~", length, "*", word, about)


# Replies.


def about_of(reply: list[Reply]) -> About | None:
    """Return what the reply to HGETALL says; None if the key is gone."""
    if not reply:
        return None
    values = _fields_of(reply)
    return About(values.get("owner", ""), values.get("key", ""), float(values.get("created_at", 0)))


def producer_of(reply: list[Reply]) -> str:
    """Return the worker that the reply to HGETALL names; "" if the key is gone, or of an earlier release."""
    return _fields_of(reply).get("producer", "")


def _fields_of(reply: list[Reply]) -> dict[str, str]:
    texts = [value.decode() for value in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


@dataclass(frozen=True, slots=True)
class LastEvent:
    """A stream's last event.

    number: 0 if there is none
    event: with its id
    """

    number: int
    event: bytes
    is_terminal: bool

    @classmethod
    def of(cls, entries: list[Reply]) -> "LastEvent":
        """entries: the reply to ``read_last``"""
        if not entries:
            return cls(0, b"", is_terminal=False)
        number, event = event_of(entries[0])
        if number is not None:
            return cls(number, event, is_terminal=False)
        before = event_of(entries[1])[0] if len(entries) > 1 else 0
        assert before is not None
        return cls(before + 1, numbered(before + 1, event), is_terminal=True)


def event_of(entry: list[Reply]) -> tuple[int | None, bytes]:
    """Return the number and the bytes of an event; for the terminal event None, and its bytes without the id."""
    id_, (_, event) = entry
    number = int(id_.partition(b"-")[0])
    return (None if number == _TERMINAL_NUMBER else number), event
