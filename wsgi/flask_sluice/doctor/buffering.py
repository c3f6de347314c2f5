"""Tells whether something on the way collects events instead of passing each on."""

import math
import statistics
from dataclasses import dataclass, replace
from functools import cached_property

from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.http.recording import Ending
from flask_sluice.doctor.pace import (
    Lump,
    buffer_name,
    cut_lumps,
    events_at_once,
    lumps_of,
)
from flask_sluice.doctor.report import Verdict
from flask_sluice.doctor.stamps import Stamps, stamps_of

_HELD_SECONDS = 0.15
"""An event that was held back for less may have met a busy machine."""
_HELD_SHARE = 0.2
_MANY_AT_ONCE = 4.0
_LEAST_GROUPS = 3
_LEAST_TOKENS = 8
_LEAST_PAUSE_SECONDS = 0.25
_LONG_PAUSE_SECONDS = 1.0
_WHOLE_SHARE = 0.8
_LEAST_EVENTS_OF_A_WHOLE = 4
_TOGETHER_SECONDS = 0.1
_TIMER_SECONDS = 0.3
_PACKET_BYTES = 1500
_FASTEST_EVENT_SECONDS = 0.0003
"""3,300 tokens a second are more than any model makes for one reader."""


@dataclass(frozen=True)
class Buffering:
    """What the arrivals of one stream show.

    kind: "whole", "lumps", "delayed" or "compression" for a fault or warning; "" otherwise
    """

    verdict: Verdict
    evidence: str
    kind: str = ""

    @property
    def is_found(self) -> bool:
        return self.verdict in (Verdict.FAULT, Verdict.WARNING)

    def adding(self, sentence: str) -> "Buffering":
        """Return the same finding with further evidence."""
        return replace(self, evidence=f"{self.evidence} {sentence}")


class Arrivals:
    """The arrivals of one stream, as the judges look at them.

    token_pace: whether the events are a model's tokens, which never come in bursts
    """

    def __init__(self, log: EventLog, *, token_pace: bool) -> None:
        self.log = log
        self.token_pace = token_pace

    @cached_property
    def lumps(self) -> list[Lump]:
        return lumps_of(self.log)

    @cached_property
    def stamps(self) -> Stamps | None:
        return stamps_of(self.log)

    @property
    def event_count(self) -> int:
        return len(self.log.events)

    @property
    def events_at_once(self) -> float:
        return events_at_once(self.lumps)


def find_buffering(arrivals: Arrivals) -> Buffering:
    """Return what the arrivals show, by the strongest evidence that there is."""
    if arrivals.event_count < 2:
        return _few_events(arrivals)
    for judge in (_by_cuts, _by_one_cut, _by_stamps, _by_burst, _by_grouping):
        if found := judge(arrivals):
            return found
    lumps = sum(1 for lump in arrivals.lumps if lump.events)
    most = max(lump.events for lump in arrivals.lumps)
    return Buffering(
        Verdict.OK,
        f"{arrivals.event_count} events came in {lumps} pieces, at most {most} at once.",
    )


def compare_with_direct(arrivals: Arrivals, direct: Arrivals) -> Buffering | None:
    """Return what the comparison with the same stream without proxies shows; None if it shows no difference.

    A burst that the server itself makes is in both.
    """
    if direct.event_count < 2:
        return None
    if arrivals.event_count < 2:
        return Buffering(
            Verdict.FAULT,
            f"{arrivals.event_count} events came, and {direct.event_count} in the same time straight from "
            "the server.",
            "whole",
        )
    together, alone = arrivals.events_at_once, direct.events_at_once
    if together >= 2 and together >= 2 * alone:
        is_whole = together >= _WHOLE_SHARE * arrivals.event_count
        return Buffering(
            Verdict.FAULT,
            f"{together:.0f} events come at once, and {alone:.0f} straight from the server.",
            "whole" if is_whole else "lumps",
        )
    return None


def _few_events(arrivals: Arrivals) -> Buffering:
    count = ("No event", "One event")[arrivals.event_count]
    return Buffering(
        Verdict.SKIPPED,
        f"{count} came while the doctor was reading, which does not show a pace; read longer with --for.",
    )


def _by_cuts(arrivals: Arrivals) -> Buffering | None:
    """A server writes whole events: a lump that ends within one was filled by a buffer."""
    cut = cut_lumps(arrivals.lumps)
    if not cut:
        return None
    size = buffer_name([lump.byte_count for lump in cut])
    at_once = statistics.mean(lump.events for lump in cut)
    return Buffering(
        Verdict.FAULT,
        f"The stream comes in lumps of {size}, {at_once:.0f} events each, and {len(cut)} of {len(arrivals.lumps)} "
        "lumps end in the middle of an event: a buffer on the way collects bytes until it is full.",
        "lumps",
    )


def _by_one_cut(arrivals: Arrivals) -> Buffering | None:
    """The stream stands still in the middle of an event: what else would fill the buffer is not sent yet."""
    recording, last = arrivals.log.recording, arrivals.lumps[-1]
    stands_seconds = recording.read_seconds - last.seconds - last.duration_seconds
    is_cut = recording.ending is Ending.OPEN and any(
        not line.is_comment for line in arrivals.log.unfinished
    )
    if not is_cut or stands_seconds < _LONG_PAUSE_SECONDS or last.byte_count < _PACKET_BYTES:
        return None
    return Buffering(
        Verdict.FAULT,
        f"{buffer_name([last.byte_count])} came at once, {last.pause_seconds:.1f} s after "
        f"{'the request' if last.is_first else 'the bytes before'}, and end in the middle of an event, behind which nothing "
        f"came in {stands_seconds:.1f} s: a buffer on the way collects bytes until it is full.",
        "lumps",
    )


def _by_stamps(arrivals: Arrivals) -> Buffering | None:
    stamps = arrivals.stamps
    if stamps is None:
        return None
    threshold = max(_HELD_SECONDS, stamps.resolution_seconds * 1.1)
    held = [seconds for seconds in stamps.held_seconds if seconds > threshold]
    if len(held) < max(2, _HELD_SHARE * len(stamps.held_seconds)):
        return _in_time(arrivals, stamps)
    evidence = (
        f"By their {stamps.name!r} the events were made over {stamps.span_seconds:.1f} s, and {len(held)} of "
        f"{len(stamps.held_seconds)} were held back, up to {max(held):.1f} s"
    )
    together = arrivals.events_at_once
    if max(held) <= _TIMER_SECONDS and _median_bytes(arrivals) < _PACKET_BYTES:
        return Buffering(
            Verdict.FAULT,
            f"{evidence}: small events wait for more bytes, as TCP does without TCP_NODELAY.",
            "delayed",
        )
    if together < 2:
        return Buffering(Verdict.WARNING, f"{evidence}, although each came on its own.", "delayed")
    if together >= _WHOLE_SHARE * arrivals.event_count:
        return Buffering(Verdict.FAULT, f"{evidence}: they came all at once.", "whole")
    return Buffering(
        Verdict.FAULT,
        f"{evidence}: {together:.0f} come at once, in lumps of "
        f"{buffer_name([lump.byte_count for lump in arrivals.lumps])}.",
        "lumps",
    )


def _in_time(arrivals: Arrivals, stamps: Stamps) -> Buffering | None:
    """Whole seconds do not show what was held back for a part of one."""
    if stamps.resolution_seconds >= 1:
        return None
    return Buffering(
        Verdict.OK,
        f"{arrivals.event_count} events, which say in {stamps.name!r} when they were made, came at most "
        f"{max(stamps.held_seconds) * 1000:.0f} ms later than the fastest of them.",
    )


def _median_bytes(arrivals: Arrivals) -> float:
    return statistics.median(lump.byte_count for lump in arrivals.lumps)


def _by_burst(arrivals: Arrivals) -> Buffering | None:
    """Nearly all events at once, after a pause in which a server could have sent the first of them."""
    largest = max(arrivals.lumps, key=lambda lump: lump.events)
    is_most = largest.events >= max(_WHOLE_SHARE * arrivals.event_count, 2)
    is_burst = largest.duration_seconds < _FASTEST_EVENT_SECONDS * largest.events
    if not is_most or not is_burst:
        return None
    evidence = (
        f"{largest.events} of {arrivals.event_count} events came at once, "
        f"{largest.pause_seconds:.2f} s after {'the request' if largest.is_first else 'the bytes before'}"
    )
    if arrivals.token_pace and arrivals.event_count >= _LEAST_TOKENS:
        if largest.pause_seconds >= _LEAST_PAUSE_SECONDS:
            return Buffering(
                Verdict.FAULT, f"{evidence}; a model makes them one after the other.", "whole"
            )
        return Buffering(
            Verdict.SKIPPED,
            f"{evidence}: too soon to tell a fast server from a buffer. Compare with --direct, or ask for "
            "a longer answer with --post.",
        )
    return _whole_answer(arrivals, largest, evidence)


def _whole_answer(arrivals: Arrivals, burst: Lump, evidence: str) -> Buffering:
    """Judge a burst that may be the whole answer: the longer nothing came, the less the server had it all at once."""
    recording = arrivals.log.recording
    is_whole = burst.is_first and arrivals.event_count >= _LEAST_EVENTS_OF_A_WHOLE
    has_ended = (recording.ended_seconds or math.inf) - burst.seconds < _TOGETHER_SECONDS
    if not is_whole or not has_ended or burst.pause_seconds < _LEAST_PAUSE_SECONDS:
        return Buffering(
            Verdict.SKIPPED,
            f"{evidence}, as a server does that has them all. If it makes them one by one, compare with "
            "--direct URL.",
        )
    has_head = burst.seconds - (recording.head_seconds or 0) < _TOGETHER_SECONDS
    is_sure = has_head and burst.pause_seconds >= _LONG_PAUSE_SECONDS
    return Buffering(
        Verdict.FAULT if is_sure else Verdict.WARNING,
        f"{evidence}, together with {'the head and ' if has_head else ''}the end of the answer: something "
        "collects the whole answer, or the server makes all events before it sends the first. --direct URL "
        "tells which.",
        "whole",
    )


def _by_grouping(arrivals: Arrivals) -> Buffering | None:
    """Several events at once, again and again: some servers send them so, and so does a small buffer."""
    lumps = [lump for lump in arrivals.lumps if lump.events]
    if arrivals.events_at_once < _MANY_AT_ONCE:
        return None
    evidence = (
        f"{arrivals.events_at_once:.0f} events come at once, in lumps of "
        f"{buffer_name([lump.byte_count for lump in lumps])}. Either the server sends them together, "
        "or something collects them: compare with --direct URL."
    )
    if arrivals.token_pace and len(lumps) >= _LEAST_GROUPS:
        return Buffering(Verdict.WARNING, evidence, "lumps")
    return Buffering(Verdict.SKIPPED, evidence)
