"""What the arrivals of one stream say about its way: in which lumps it came, and how long events were held back."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from flask_sluice.doctor.events import EventLog

PAUSE_SECONDS = 0.005
"""Bytes that come within this time of each other were sent together: a kernel and a local network need less."""
_USUAL_BUFFERS_KIB = (1, 2, 4, 8, 16, 32, 64)
_LEAST_CUTS = 2
_MANY_EVENTS = 4


@dataclass(frozen=True)
class Lump:
    """Bytes that came together, without a pause between them.

    seconds: when it began to come
    duration_seconds: how long it took
    pause_seconds: since the bytes before it, or since the request
    events: how many events were complete with it
    cuts_event: whether it ends within an event, although a pause follows
    """

    seconds: float
    duration_seconds: float
    pause_seconds: float
    byte_count: int
    events: int
    cuts_event: bool
    is_first: bool


def lumps_of(log: EventLog) -> list[Lump]:
    """Return the lumps in which the decoded body came."""
    arrivals = log.recording.decoded
    groups: list[list[int]] = []
    for index, arrival in enumerate(arrivals):
        if groups and arrival.seconds - arrivals[groups[-1][-1]].seconds < PAUSE_SECONDS:
            groups[-1].append(index)
        else:
            groups.append([index])
    ends = _ends_of_events(log)
    lumps: list[Lump] = []
    offset, last_seconds = 0, 0.0
    for group in groups:
        first, last = arrivals[group[0]].seconds, arrivals[group[-1]].seconds
        start, offset = offset, offset + sum(len(arrivals[index].data) for index in group)
        lump = Lump(
            seconds=first,
            duration_seconds=last - first,
            pause_seconds=first - last_seconds,
            byte_count=offset - start,
            events=sum(start < end <= offset for end in ends.events),
            cuts_event=offset not in ends.pieces and offset < ends.last,
            is_first=not lumps,
        )
        lumps.append(lump)
        last_seconds = last
    return lumps


@dataclass(frozen=True)
class _Ends:
    """Where events end, and where a server may pause: after an event, a comment, or a blank line."""

    events: tuple[int, ...]
    pieces: frozenset[int]
    last: int


def _ends_of_events(log: EventLog) -> _Ends:
    pieces = {line.end for line in log.lines if line.is_comment or not line.text}
    # A CR that ends a line may be sent without its LF.
    pieces |= {end - 1 for end in pieces if log.recording.body[end - 2 : end] == b"\r\n"}
    return _Ends(
        tuple(event.end for event in log.events),
        frozenset(pieces),
        log.lines[-1].end if log.lines else 0,
    )


def cut_lumps(lumps: Sequence[Lump]) -> list[Lump]:
    """Return the lumps that end within an event, if they are most; else none.

    A server writes whole events. Only what counts bytes, a buffer, stops within one and pauses. One such lump of few events
    may be the network's doing.
    """
    before_last = lumps[:-1]
    cut = [lump for lump in before_last if lump.cuts_event]
    is_enough = len(cut) >= _LEAST_CUTS or any(lump.events >= _MANY_EVENTS for lump in cut)
    return cut if is_enough and 2 * len(cut) >= len(before_last) else []


def buffer_name(byte_counts: Sequence[float]) -> str:
    """Name the buffer whose size the lumps have: "4 KiB"; else their median size."""
    median = statistics.median(byte_counts)
    for kib in _USUAL_BUFFERS_KIB:
        if 0.85 * kib * 1024 <= median <= 1.05 * kib * 1024:
            return f"{kib} KiB"
    return f"{median / 1024:.1f} KiB" if median >= 1024 else f"{median:.0f} bytes"


def gaps_of(log: EventLog) -> list[float]:
    """Return the seconds between the events of the stream."""
    seconds = [event.seconds for event in log.events]
    return [after - before for before, after in itertools.pairwise(seconds)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values is; 0 if there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def events_at_once(lumps: Sequence[Lump]) -> float:
    """Return how many events come at once: the mean over events, so that one large lump is felt."""
    counts = [lump.events for lump in lumps if lump.events]
    return sum(count * count for count in counts) / sum(counts) if counts else 0.0
