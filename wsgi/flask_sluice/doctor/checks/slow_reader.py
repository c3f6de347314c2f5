"""One reader that does not read, and what becomes of another one meanwhile."""

import itertools
from dataclasses import dataclass

from flask_sluice.doctor.costs import is_paid, is_private
from flask_sluice.doctor.events import LiveEvents
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.exchange import Exchange
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.observing.report import ReportWitness, report_folder
from flask_sluice.doctor.remedies.load import SLOW_READER_HOLDS_OTHERS
from flask_sluice.doctor.remedies.products import first_for, products_of
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("load")
_NAME = "slow-reader"

_BEFORE_SECONDS = 0.6
_DURING_SECONDS = 2.5
_AFTER_SECONDS = 3.0
_STALL_SECONDS = 1.0
_STALL_TIMES = 5
_FELT_BYTES = 256 * 1024
"""Less than that the systems of both sides keep for a reader that takes nothing, and the server does not feel it."""
_RECEIVE_BUFFER_BYTES = 2304
_OWN_PADDING_BYTES, _OWN_PADDING_ABROAD_BYTES = 65_536, 8192
_OWN_INTERVAL_MS = 20


@dataclass(frozen=True)
class _Observed:
    """What a reader that reads had: gaps in seconds, before and while another one did not read.

    byte_count: how much it got meanwhile
    recovered: whether it got events again when the other one had left; None: it was not held up
    """

    before_seconds: float
    during_seconds: float
    byte_count: int
    recovered: bool | None


def check_slow_reader(examination: Examination) -> Check:
    """Return the check of a reader that does not read."""
    if is_paid(examination):
        return _make.skipped(_NAME, "Each stream may cost, and this needs three long ones.")
    request, is_own = _request(examination)
    if request is None:
        return _make.skipped(
            _NAME,
            "The stream is too slow, or too short, for a reader that does not read to be felt: the systems' buffers take its "
            "events for it.",
        )
    examination.tell("reading beside a reader that does not read")
    observed = _observe(examination, request)
    return _judge(examination, observed, is_own=is_own)


def _judge(examination: Examination, observed: _Observed, *, is_own: bool) -> Check:
    before, during = observed.before_seconds, observed.during_seconds
    where = " (on the server's own stream)" if is_own else ""
    gaps = f"its longest gap was {during * 1000:.0f} ms, and {before * 1000:.0f} ms before"
    numbers = {
        "longest_gap_before_seconds": round(before, 3),
        "longest_gap_seconds": round(during, 3),
        "byte_count": observed.byte_count,
    }
    if observed.recovered:
        return _make.fault(
            _NAME,
            f"While one reader did not read, another one{where} was held up: {gaps}. It went on when the first one had left.",
            first_for(SLOW_READER_HOLDS_OTHERS, products_of(examination.main.headers)),
            **numbers,
        )
    if observed.recovered is False:
        return _make.skipped(
            _NAME,
            f"While one reader did not read, another one{where} got no events ({gaps}), and none after the first one had left: "
            "something else holds it up.",
        )
    if observed.byte_count < _FELT_BYTES:
        return _make.skipped(
            _NAME,
            f"Only {observed.byte_count // 1024} KiB came while one reader did not read, which the systems' buffers take for it.",
        )
    return _make.ok(
        _NAME,
        f"While one reader did not read, another one{where} kept its pace: {gaps}, with "
        f"{observed.byte_count // 1024} KiB meanwhile.",
        **numbers,
    )


def _request(examination: Examination) -> tuple[HttpRequest | None, bool]:
    """Return a stream that is fast and long enough, and whether it is the server's own for the doctor."""
    main = examination.main
    first, last = main.first_byte_seconds or 0.0, main.last_byte_seconds or 0.0
    seconds = last - first
    is_long = not main.has_ended or seconds >= 2 * _BEFORE_SECONDS
    byte_count = sum(len(arrival.data) for arrival in main.arrivals)
    if is_long and seconds and byte_count / seconds * _BEFORE_SECONDS >= _FELT_BYTES:
        return examination.preset.long_request(), False
    folder = report_folder(main)
    if folder is None:
        return None, False
    padding = _OWN_PADDING_BYTES if is_private(folder) else _OWN_PADDING_ABROAD_BYTES
    witness = ReportWitness(examination, folder)
    own = witness.own_stream(events=1000, interval_ms=_OWN_INTERVAL_MS, padding_bytes=padding)
    return own, True


def _observe(examination: Examination, request: HttpRequest) -> _Observed:
    live = LiveEvents()
    with examination.open(request) as reader:
        reader.read(examination.options.head_seconds, lambda answer: bool(live.take(answer)))
        reader.read_on(_BEFORE_SECONDS)
        began = reader.seconds
        with examination.open(request, receive_buffer_bytes=_RECEIVE_BUFFER_BYTES):
            reader.read_on(_DURING_SECONDS)
            until = reader.recording.ended_seconds or reader.seconds
        times = [seconds for seconds, _ in live.take(reader.recording)]
        before = _longest_gap([seconds for seconds in times if seconds <= began])
        beside = [max((t for t in times if t <= began), default=began)]
        beside += [seconds for seconds in times if began < seconds <= until]
        during = _longest_gap([*beside, until])
        byte_count = sum(
            len(arrival.data)
            for arrival in reader.recording.arrivals
            if began < arrival.seconds <= until
        )
        is_held_up = during >= max(_STALL_SECONDS, _STALL_TIMES * before)
        recovered = _recovers(reader, len(times)) if is_held_up else None
        return _Observed(before, during, byte_count, recovered)


def _recovers(reader: Exchange, event_count: int) -> bool:
    live = LiveEvents()
    reader.read_on(_AFTER_SECONDS, lambda answer: len(live.take(answer)) > event_count)
    return len(live.take(reader.recording)) > event_count


def _longest_gap(times: list[float]) -> float:
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)
