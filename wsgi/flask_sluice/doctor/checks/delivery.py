"""When events arrive, compared with when they were sent."""

from collections.abc import Iterator, Mapping

from flask_sluice.doctor.buffering import (
    Arrivals,
    Buffering,
    compare_with_direct,
    find_buffering,
)
from flask_sluice.doctor.events import EventLog, take_apart
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.pace import gaps_of, percentile
from flask_sluice.doctor.remedies.buffering import BUFFERED_IN_LUMPS, BUFFERED_WHOLE, DELAYED
from flask_sluice.doctor.remedies.compression import COMPRESSED
from flask_sluice.doctor.remedies.products import first_for, products_of
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.report import Check, CheckMaker, Verdict

_make = CheckMaker("delivery")
_REMEDIES: Mapping[str, tuple[Remedy, ...]] = {
    "lumps": BUFFERED_IN_LUMPS,
    "whole": BUFFERED_WHOLE,
    "delayed": DELAYED,
    "compression": COMPRESSED,
}


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the delivery."""
    main = examination.main
    direct = _direct(examination)
    if main.ending is Ending.SILENT:
        yield _nothing_came(examination, direct)
        return
    yield _one_by_one(examination, direct)
    yield _first_byte(main, direct)
    yield _gaps(examination.log, direct)


def _direct(examination: Examination) -> EventLog | None:
    """The same stream without the proxies between, if its URL is known."""
    request = examination.direct_request()
    if request is None:
        return None
    examination.tell("reading the same stream straight from the server")
    return take_apart(examination.record(request))


def _nothing_came(examination: Examination, direct: EventLog | None) -> Check:
    waited = examination.main.ended_seconds or 0
    evidence = f"Not one byte of an answer came in {waited:.0f} s"
    if direct is not None and direct.events:
        evidence += f", and {len(direct.events)} events straight from the server"
    return _make.fault(
        "first-byte",
        f"{evidence}. Either the server sends nothing while it works, or something on the way collects the answer.",
        BUFFERED_WHOLE,
        waited_seconds=round(waited, 1),
    )


def _one_by_one(examination: Examination, direct: EventLog | None) -> Check:
    arrivals = _arrivals(examination, examination.log)
    found = _seen_twice(examination, find_buffering(arrivals))
    if direct is not None:
        found = _compared(found, arrivals, _arrivals(examination, direct))
    if examination.main.content_coding and found.verdict is not Verdict.OK:
        found = _without_compression(examination, found)
    if found.verdict is Verdict.SKIPPED:
        return _make.skipped("one-by-one", found.evidence)
    numbers = {
        "events": arrivals.event_count,
        "lumps": len(arrivals.lumps),
        "events_at_once": round(arrivals.events_at_once, 1),
    }
    if not found.is_found:
        return _make.ok("one-by-one", found.evidence, **numbers)
    remedies = first_for(_REMEDIES[found.kind], products_of(examination.main.headers))
    make = _make.fault if found.verdict is Verdict.FAULT else _make.warning
    return make("one-by-one", found.evidence, remedies, **numbers)


def _arrivals(examination: Examination, log: EventLog) -> Arrivals:
    return Arrivals(log, token_pace=examination.preset.token_pace)


def _seen_twice(examination: Examination, found: Buffering) -> Buffering:
    """The finding, if a second reading shows it, too: a machine that stalls once holds events back as well."""
    if not found.is_found:
        return found
    examination.tell("reading the stream once more")
    again = find_buffering(
        _arrivals(examination, take_apart(examination.record(examination.main.request)))
    )
    return found if again.is_found else again.adding("(The first reading was slower.)")


def _compared(found: Buffering, arrivals: Arrivals, direct: Arrivals) -> Buffering:
    """The finding, with what the same stream without proxies adds to it."""
    straight = find_buffering(direct)
    if difference := compare_with_direct(arrivals, direct):
        is_known = found.verdict is Verdict.FAULT
        return found.adding(difference.evidence) if is_known else difference
    if found.is_found and straight.is_found:
        return found.adding("Straight from the server it is the same: the server itself does this.")
    if found.verdict in (Verdict.WARNING, Verdict.SKIPPED) and direct.event_count > 1:
        return Buffering(
            Verdict.OK, f"{arrivals.event_count} events came as they do straight from the server."
        )
    return found


def _without_compression(examination: Examination, found: Buffering) -> Buffering:
    """The finding, with its cause if the same stream comes one by one when it is not compressed."""
    examination.tell("reading the stream without compression")
    request = examination.main.request.with_headers(Accept_Encoding="identity")
    plain = _arrivals(examination, take_apart(examination.record(request)))
    if plain.event_count < 2 or find_buffering(plain).is_found:
        return found
    coding = examination.main.content_coding
    seen = found.evidence if found.is_found else "The events do not come while they are made."
    return Buffering(
        Verdict.FAULT,
        f"{seen} The answer is compressed ({coding}); without compression the events come one by one.",
        "compression",
    )


def _first_byte(main: Recording, direct: EventLog | None) -> Check:
    seconds = main.first_byte_seconds
    if seconds is None:
        return _make.skipped("first-byte", "The head came, and no byte of the body.")
    numbers = {
        "connect_ms": round(main.connect_seconds * 1000, 1),
        "head_ms": round((main.head_seconds or 0) * 1000, 1),
        "first_byte_ms": round(seconds * 1000, 1),
    }
    evidence = f"The first byte came after {seconds * 1000:.0f} ms, the head after {numbers['head_ms']:.0f} ms."
    straight = direct.recording.first_byte_seconds if direct else None
    if straight is not None:
        numbers["added_ms"] = round((seconds - straight) * 1000, 1)
        evidence += f" Straight from the server it took {straight * 1000:.0f} ms."
    return _make.ok("first-byte", evidence, **numbers)


def _gaps(log: EventLog, direct: EventLog | None) -> Check:
    gaps = gaps_of(log)
    if not gaps:
        return _make.skipped("gaps", "There are no two events with a gap between them.")
    p50, p99 = percentile(gaps, 0.5), percentile(gaps, 0.99)
    numbers = {"p50_ms": round(p50 * 1000, 1), "p99_ms": round(p99 * 1000, 1)}
    evidence = (
        f"Between events passed {p50 * 1000:.0f} ms (median) and {p99 * 1000:.0f} ms (p99); "
        f"the longest silence took {max(gaps):.1f} s."
    )
    straight = gaps_of(direct) if direct else []
    if straight:
        numbers["direct_p99_ms"] = round(percentile(straight, 0.99) * 1000, 1)
        evidence += f" Straight from the server p99 is {percentile(straight, 0.99) * 1000:.0f} ms."
    return _make.ok("gaps", evidence, **numbers)
