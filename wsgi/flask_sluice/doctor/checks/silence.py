"""What the server sends while it has no event, and what cuts a connection on which nothing comes."""

import itertools
from collections.abc import Iterator, Sequence

from flask_sluice.doctor.checks.ending.silent_cut import Cut, cut_in_silence
from flask_sluice.doctor.checks.keep_alives import check_keep_alives, longest_silence
from flask_sluice.doctor.events import take_apart
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.observing.report import ReportWitness, report_folder
from flask_sluice.doctor.options import Depth
from flask_sluice.doctor.remedies.products import first_for, products_of
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.remedies.timeouts import (
    CUT_IN_SILENCE,
    SEND_COMMENTS,
    SILENCE,
    names_of,
    who_cuts_after,
)
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("silence")

SILENCES_SECONDS = (35.0, 65.0, 125.0)
"""Just above the limits of 30, 60 and 120 seconds that most servers and proxies have."""


def check(
    examination: Examination, silences: tuple[float, ...] = SILENCES_SECONDS
) -> Iterator[Check]:
    """Yield the checks of the silence. silences: through which the connection has to live, in seconds"""
    yield check_keep_alives(examination)
    yield from _cut(examination)
    if examination.depth is Depth.THOROUGH:
        yield _survives(examination, silences)


# What cuts.


def _cut(examination: Examination) -> Iterator[Check]:
    """Yield a fault if the first stream was cut in a silence. The end's checks say how all others ended."""
    cut = cut_in_silence(examination.main)
    if cut is not None:
        yield _cut_fault(examination, "cut", cut)


def _cut_fault(examination: Examination, name: str, cut: Cut) -> Check:
    limits = who_cuts_after(cut.seconds, SILENCE)
    usual = f" This is usual for {names_of(limits)}." if limits else ""
    remedies = (*SEND_COMMENTS, *(limit.remedy for limit in limits)) if limits else CUT_IN_SILENCE
    return _make.fault(
        name,
        f"After {cut.seconds:.1f} s without a byte the connection was cut by {cut.how}.{usual}",
        _remedies(examination, remedies),
        silence_seconds=round(cut.seconds, 1),
    )


def _survives(examination: Examination, silences: tuple[float, ...]) -> Check:
    """Keep one connection open through all silences."""
    longest = max(silences)
    request, is_own = _silent_request(examination, longest)
    if request is None:
        return _make.skipped(
            "survives",
            "The stream is never silent for long, so nothing shows what a silence does to it. "
            "Add flask_sluice.doctor.helping's DoctorMiddleware to the app, whose stream is silent when the doctor wants it.",
        )
    examination.tell(f"waiting through {longest:g} s of silence")
    recording = _read_through(examination, request, longest)
    cut = cut_in_silence(recording)
    if cut is None and is_own and recording.has_ended and not _has_end(recording):
        last = recording.last_byte_seconds or recording.head_seconds or 0.0
        how = (
            "what looks like a proper end of the body"
            if recording.ending is Ending.COMPLETE
            else "the end of the connection"
        )
        cut = Cut((recording.ended_seconds or last) - last, how)
    if cut is not None:
        return _cut_fault(examination, "survives", cut)
    return _judge_survival(recording, silences, is_own=is_own)


def _silent_request(examination: Examination, longest: float) -> tuple[HttpRequest | None, bool]:
    """Return what to ask for to have a silence, and whether it is the server's own stream for the doctor."""
    folder = report_folder(examination.main)
    if folder is not None:
        witness = ReportWitness(examination, folder)
        silence_ms = int((longest + 2) * 1000)
        return witness.own_stream(events=2, interval_ms=0, silence_ms=silence_ms), True
    log, main = examination.log, examination.main
    # Of a stream that has events all the time, or ends soon, no silence can be had.
    is_quiet = not main.has_ended and len(log.events) <= 1
    is_quiet = is_quiet and examination.preset.tokens_per_request == 0
    return (main.request if is_quiet else None), False


def _read_through(examination: Examination, request: HttpRequest, longest: float) -> Recording:
    with examination.open(request) as exchange:
        recording = exchange.read(longest + 3, lambda answer: answer.status is not None)
        return (
            exchange.read(longest + 3 - exchange.seconds) if not recording.has_ended else recording
        )


def _has_end(recording: Recording) -> bool:
    return b"event: done" in recording.body


def _judge_survival(recording: Recording, silences: tuple[float, ...], *, is_own: bool) -> Check:
    seconds = [recording.head_seconds or 0.0, *(arrival.seconds for arrival in recording.arrivals)]
    seconds.append(recording.ended_seconds or max(silences) + 3)
    silent = max(after - before for before, after in itertools.pairwise(seconds))
    lived = [limit for limit in silences if silent >= limit]
    log = take_apart(recording)
    quiet = longest_silence(log, [])
    where = " in the server's own stream" if is_own else ""
    if len(lived) == len(silences):
        return _make.ok(
            "survives",
            f"The connection lived through {silent:.0f} s without a byte{where}.",
            silence_seconds=round(silent, 1),
        )
    if quiet >= max(silences) and len(log.comments) > 0:
        return _make.ok(
            "survives",
            f"The connection lived through {quiet:.0f} s without an event{where}: keep-alives came at the latest after "
            f"{silent:.1f} s.",
            silence_seconds=round(silent, 1),
        )
    return _make.skipped(
        "survives",
        f"The longest silence that the stream had was {silent:.1f} s, and it lived through it.",
    )


def _remedies(examination: Examination, remedies: Sequence[Remedy]) -> tuple[Remedy, ...]:
    return first_for(remedies, products_of(examination.main.headers))
