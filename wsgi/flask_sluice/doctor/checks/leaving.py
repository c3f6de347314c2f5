"""Does the server notice that the reader has left, and how soon? Otherwise it works on for nobody."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flask_sluice.doctor.costs import is_paid
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.dialing import CannotConnectError
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.observing.departure import (
    LONG_SECONDS,
    MANY_WRITES,
    Departure,
    Manner,
    Pace,
    Stage,
    depart,
)
from flask_sluice.doctor.observing.gauge import metrics_witness, slots_witness
from flask_sluice.doctor.observing.report import ReportWitness, report_folder
from flask_sluice.doctor.observing.witness import CannotTellError, Witness
from flask_sluice.doctor.options import Depth
from flask_sluice.doctor.pace import gaps_of
from flask_sluice.doctor.remedies.leaving import NEVER_NOTICED, NOTICED_LATE
from flask_sluice.doctor.remedies.products import first_for, products_of
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("leaving")

AT_ONCE_SECONDS = 1.0
_LEAST_PREFILL_SECONDS = 0.5
_LEAST_REST_SECONDS = 1.5
"""How much of the stream has to be left, so that the server's noticing is not taken for the stream's own end."""
_OWN_PREFILL_MS = {Depth.QUICK: 1800, Depth.USUAL: 2500, Depth.THOROUGH: 5000}
_OWN_INTERVAL_MS = 50
_LONGER_BY = 4
"""A long answer of a model takes at least so many times as long as the usual one of the doctor."""

_TRIALS = (
    (Stage.MID_STREAM, Manner.FIN),
    (Stage.PREFILL, Manner.FIN),
    (Stage.MID_STREAM, Manner.RST),
    (Stage.PREFILL, Manner.RST),
)
_FEW_TRIALS = 2
_NO_WITNESS = (
    "from outside nothing shows when the server notices. Add flask_sluice.doctor.helping's DoctorMiddleware to the app, or give "
    "--metrics URL with a gauge of running streams; by hand: leave with Ctrl-C, and look in the server's log how long it works on"
)


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the leaving."""
    is_short = examination.depth is Depth.QUICK or is_paid(examination)
    trials = _TRIALS[:_FEW_TRIALS] if is_short else _TRIALS
    try:
        witness = _witness(examination)
    except CannotTellError as error:
        witness, why = None, str(error)
    else:
        why = _NO_WITNESS
    if witness is None:
        yield from _skipped(trials, why)
        return
    for stage, manner in trials:
        yield _Trial(examination, witness, stage, manner).check(_name_of(stage, manner))


def _name_of(stage: Stage, manner: Manner) -> str:
    return f"{stage.value}-{manner.value}"


def _skipped(trials: Sequence[tuple[Stage, Manner]], why: str) -> Iterator[Check]:
    """Give the reason once."""
    first, *others = (_name_of(stage, manner) for stage, manner in trials)
    yield _make.skipped(first, f"{why[0].upper()}{why[1:]}.")
    for name in others:
        yield _make.skipped(name, f"For the same reason as {first}.")


def _witness(examination: Examination) -> Witness | None:
    """Return what can be asked, the most exact first; None if nothing can. Raises CannotTellError."""
    folder = report_folder(examination.main)
    if folder is not None:
        return ReportWitness(examination, folder)
    if examination.options.metrics is not None:
        return metrics_witness(examination, examination.options.metrics)
    return slots_witness(examination) if examination.preset.name == "openai" else None


@dataclass(frozen=True)
class _Subject:
    """The stream that is left. is_own: it is one that the server has for the doctor"""

    request: HttpRequest
    pace: Pace
    is_own: bool = False


@dataclass(frozen=True)
class _Trial:
    """One leaving, and its verdict."""

    examination: Examination
    witness: Witness
    stage: Stage
    manner: Manner

    @property
    def _how(self) -> str:
        where = "before the first event" if self.stage is Stage.PREFILL else "in mid-stream"
        return f"{where} with a {self.manner.value.upper()}"

    def check(self, name: str) -> Check:
        try:
            subject = self._subject()
            self.examination.tell(f"leaving {self._how}")
            departure = self._depart(subject.request, subject.pace)
            return self._judge(name, subject, departure)
        except CannotTellError as error:
            return _make.skipped(name, f"Leaving {self._how} shows nothing: {error}.")

    def _depart(self, request: HttpRequest, pace: Pace) -> Departure:
        return depart(
            self.examination,
            request,
            self.witness,
            stage=self.stage,
            manner=self.manner,
            pace=pace,
        )

    # Which stream to leave.

    def _subject(self) -> _Subject:
        """Return the examined stream if it can be left here, else one that the server has for the doctor."""
        request, pace = self._request(), pace_of(self.examination)
        is_longer = request != self.examination.preset.request()
        rest_seconds = None if pace.end_seconds is None else pace.end_seconds - pace.first_seconds
        if is_longer:
            pace = replace(pace, end_seconds=None)
        if not pace.events and self.stage is Stage.MID_STREAM:
            raise CannotTellError("no event came in the time, so there is no middle of it to leave")
        if self.stage is Stage.PREFILL:
            first_seconds = (
                pace.first_seconds if pace.events else self.examination.main.read_seconds
            )
            if first_seconds >= _LEAST_PREFILL_SECONDS:
                return _Subject(request, pace)
            why = f"its first event comes after {_seconds(first_seconds)}, too soon to leave before it"
        elif rest_seconds is None or (
            rest_seconds * (_LONGER_BY if is_longer else 1) >= _LEAST_REST_SECONDS
        ):
            return _Subject(request, pace)
        else:
            why = (
                f"the stream is over {_seconds(rest_seconds)} after its first event, "
                "too soon to tell its end from the reader's leaving"
            )
        if isinstance(self.witness, ReportWitness):
            return self._own_subject(self.witness)
        raise CannotTellError(why)

    def _request(self) -> HttpRequest:
        preset = self.examination.preset
        return preset.request() if is_paid(self.examination) else preset.long_request()

    def _own_subject(self, witness: ReportWitness) -> _Subject:
        prefill_ms = _OWN_PREFILL_MS[self.examination.depth] * (self.stage is Stage.PREFILL)
        events = 20_000 // _OWN_INTERVAL_MS
        request = witness.own_stream(
            events=events, interval_ms=_OWN_INTERVAL_MS, prefill_ms=prefill_ms
        )
        gap_seconds, first_seconds = _OWN_INTERVAL_MS / 1000, prefill_ms / 1000
        pace = Pace((first_seconds,), gap_seconds, first_seconds + events * gap_seconds)
        return _Subject(request, pace, is_own=True)

    # The verdict.

    def _judge(self, name: str, subject: _Subject, departure: Departure) -> Check:
        seen, pace = departure.seen, subject.pace
        where = f"Left {self._how}"
        if subject.is_own:
            where += f" in the server's own stream {subject.request.parts.path}"
        rest = _rest_seconds(pace, departure)
        if seen is None:
            return self._not_seen(name, where, subject, departure)
        numbers = {"noticed_seconds": round(max(0.0, seen.seconds), 3)}
        after = _seconds(max(0.0, seen.seconds))
        if seen.is_early is not True and rest is not None and seen.seconds >= rest * 0.9:
            evidence = f"{where}, the server went on for {after}, to the stream's own end"
            return self._fault(name, subject, evidence, "never notices", numbers)
        if seen.seconds < -self.witness.slack_seconds - 0.1:
            raise CannotTellError("the stream was over before the reader left it")
        if seen.seconds <= AT_ONCE_SECONDS + self.witness.slack_seconds:
            return _make.ok(
                name,
                f"{where}, the server closed the stream {after} later, says {self.witness.name}.",
                **numbers,
            )
        write = _next_write_seconds(pace, departure)
        if write is not None and write > AT_ONCE_SECONDS and seen.seconds >= write * 0.9:
            evidence = (
                f"{where}, the server closed the stream {after} later, when its next event was due"
            )
            return self._fault(name, subject, evidence, "notices only at its next write", numbers)
        return _make.warning(
            name,
            f"{where}, the server closed the stream only {after} later, says {self.witness.name}.",
            self._remedies(NOTICED_LATE),
            **numbers,
        )

    def _not_seen(self, name: str, where: str, subject: _Subject, departure: Departure) -> Check:
        """The verdict on a stream that was still running at the end of the wait."""
        waited = departure.waited_seconds
        if self.witness.may_stick:
            raise CannotTellError(
                f"{self.witness.name} still counts the stream after {_seconds(waited)}, which it also does when the last of "
                "all streams was aborted"
            )
        numbers = {"waited_seconds": round(waited, 1)}
        due = subject.pace.due(departure.left_after, 1000)
        written = sum(seconds - departure.left_after < waited for seconds in due)
        evidence = f"{where}, the server still ran the stream {_seconds(waited)} later"
        if written >= MANY_WRITES:
            evidence += f", in which some {written} events were due"
            how = "does not even notice at its next writes"
            return self._fault(name, subject, evidence, how, numbers)
        if waited >= LONG_SECONDS:
            how = "does not notice while it has nothing to write"
            return self._fault(name, subject, evidence, how, numbers)
        raise CannotTellError("the stream was over too soon")

    def _fault(
        self, name: str, subject: _Subject, evidence: str, how: str, numbers: dict[str, float]
    ) -> Check:
        remedies = NOTICED_LATE if "write" in how and "even" not in how else NEVER_NOTICED
        return _make.fault(
            name,
            f"{evidence}: it {how}, says {self.witness.name}.{self._whose_fault(subject)}",
            self._remedies(remedies),
            **numbers,
        )

    def _whose_fault(self, subject: _Subject) -> str:
        """Tell, if the server can be asked directly, whether a proxy hides that the reader has left."""
        direct = self.examination.options.direct
        if direct is None:
            return ""
        request = replace(subject.request, url=direct)
        if subject.is_own:
            parts = request.parts._replace(
                path=subject.request.parts.path, query=subject.request.parts.query
            )
            request = replace(request, url=parts.geturl())
        try:
            seen = self._depart(request, subject.pace).seen
        except (CannotTellError, CannotConnectError):
            return ""
        if seen is not None and seen.seconds <= AT_ONCE_SECONDS + self.witness.slack_seconds:
            return (
                f" Asked directly, it notices after {_seconds(max(0.0, seen.seconds))}: "
                "the proxy in between does not pass the leaving on."
            )
        return " Asked directly, it does the same, so the proxies in between have no part in it."

    def _remedies(self, remedies: tuple[Remedy, ...]) -> tuple[Remedy, ...]:
        return first_for(remedies, products_of(self.examination.main.headers))


def pace_of(examination: Examination) -> Pace:
    """Return what the first stream has shown."""
    main, log = examination.main, examination.log
    events = tuple(event.seconds for event in log.events)
    gaps = gaps_of(log)
    gap = statistics.median(gaps) if gaps else None
    if main.has_ended:
        return Pace(events, gap, main.ended_seconds)
    # A stream that was silent when the doctor stopped to read goes on nobody knows when.
    is_silent = gap is not None and main.read_seconds - events[-1] > 3 * gap
    return Pace(events, None if is_silent else gap, None)


def _rest_seconds(pace: Pace, departure: Departure) -> float | None:
    """How long after the leaving the stream would have ended; None if it is not known."""
    return None if pace.end_seconds is None else pace.end_seconds - departure.left_after


def _next_write_seconds(pace: Pace, departure: Departure) -> float | None:
    """How long after the leaving the next event was due; None if it is not known."""
    due = pace.due(departure.left_after, 1)
    return due[0] - departure.left_after if due else None


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
