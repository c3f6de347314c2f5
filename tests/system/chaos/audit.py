"""Compares the readers' accounts with the gateway's log, request by request, and the log with the metrics, exactly.

A stream that was open in a worker when that was killed has neither a line in the log nor a count in the metrics: its
reader was told by the cut. Such a stream counts as lost with its worker if its reader's request was open at a kill. So

    requests = ended (by outcome and code) + refused + lost with a killed worker + not passed on by nginx, killed or not

holds for each request by itself, and for the numbers in the metrics.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.samples import Sample

from tests.system.chaos.account import START, Accounts, Attempt

_AFTER_KILL_SECONDS = 3.0
"""So long after a kill its readers know of it, also on a machine with much to do."""

_EVENTS_OF_A_SECOND = 1000
_GENERATION_SECONDS = 30.0
"""No answer is generated for longer."""


@dataclass
class Line:
    """A stream's line in the log. end: ``complete``, ``cancelled`` or ``error CODE``"""

    request_id: str
    message: str
    route: str
    outcome: str
    code: str | None
    status: int | None
    events: int

    @property
    def end(self) -> str:
        return f"error {self.code}" if self.outcome == "error" else self.outcome

    @property
    def tellings(self) -> tuple[str, ...]:
        """What its reader may have been told: an answer that was stopped is cancelled, and an error for its reader."""
        if self.outcome == "complete":
            return ("complete",)
        return (f"error {self.code}", f"refused {self.status} {self.code}")


def lines_of(log: list[dict[str, object]]) -> list[Line]:
    names = ("request_id", "message", "route", "outcome", "code", "status", "events")
    ends = ("stream ended", "generation ended")
    return [Line(*(each.get(name) for name in names)) for each in log if each["message"] in ends]  # type: ignore[arg-type]


class Audit:
    """worker_kills, nginx_kills: when they were; faults: what does not agree, in words"""

    def __init__(
        self,
        accounts: Accounts,
        lines: list[Line],
        worker_kills: list[float],
        nginx_kills: list[float],
    ) -> None:
        self._accounts = accounts
        self._lines = lines
        self._worker_kills = worker_kills
        self._nginx_kills = nginx_kills
        self.faults: list[str] = []
        self._without_line = 0
        self._unanswered = 0
        self.pairs: Counter[tuple[str, str, str]] = Counter()

    def check_readers(self) -> None:
        """Compare what each reader was told with the line of that request in the log."""
        lines: dict[str, list[Line]] = defaultdict(list)
        for line in self._lines:
            lines[line.request_id].append(line)
        for attempt in self._accounts.attempts:
            own = lines.pop(attempt.request_id, [])
            if len(own) > 1:
                self.faults.append(f"counted {len(own)} times: {attempt} {own}")
            line = own[0] if own else None
            end = line.end if line else "no line"
            self.pairs[attempt.route, attempt.told, end] += 1
            if line is None and attempt.told in ("left", "cut", "started", "complete"):
                self._without_line += 1
            if line is None and attempt.told == "cut" and not attempt.has_begun:
                self._unanswered += 1
            if not self._agree(attempt, line):
                self.faults.append(f"told and counted otherwise: {attempt} {line}")
        self.faults += [f"counted for no reader: {own}" for own in lines.values()]

    def _agree(self, attempt: Attempt, line: Line | None) -> bool:
        told = attempt.told
        if line is None:
            return self._may_have_no_line(attempt)
        if told == "left":
            return True
        if told == "cut":
            # By nginx, since the worker was there to count it. Who has no answer may have started one.
            return attempt.route == START or self._was_open_at(attempt, self._nginx_kills)
        return told in line.tellings or (told, attempt.route) == ("started", START)

    def _may_have_no_line(self, attempt: Attempt) -> bool:
        told = attempt.told
        if told == "over" or (told.startswith("refused") and not attempt.by_nginx):
            return True  # It was no stream.
        if told == "started":
            # A killed worker does not go on with it; ``check_answers`` looks what its readers were told.
            return self._was_generated_at_kill(attempt.started_at)
        # Of a request that was cut, nginx may not have passed on anything.
        kills = self._worker_kills + (self._nginx_kills if told == "cut" else [])
        return self._was_open_at(attempt, kills)

    def _was_generated_at_kill(self, started_at: float) -> bool:
        return any(0 <= kill - started_at < _GENERATION_SECONDS for kill in self._worker_kills)

    def _was_open_at(self, attempt: Attempt, moments: Iterable[float]) -> bool:
        """Return whether the request was open at one of these moments, and over soon after it if it was cut then."""
        return any(
            attempt.started_at - 0.1 <= moment <= attempt.ended_at <= moment + _AFTER_KILL_SECONDS
            or (attempt.told == "left" and moment - 4 <= attempt.ended_at <= moment)
            for moment in moments
        )

    def check_answers(self) -> None:
        """Compare what each reader of a resumable answer was told in the end with how its generation ended."""
        started_at = {each.request_id: each.started_at for each in self._accounts.attempts}
        generations = {each.request_id: each for each in self._lines if each.route == START}
        for answer in self._accounts.answers:
            line = generations.get(answer.request_id)
            if answer.told == "left":
                continue
            # Redis may not have had the end of an answer when its worker was killed, or had it, and the log not.
            is_of_killed = self._was_generated_at_kill(started_at[answer.request_id])
            agrees = line is not None and answer.told in line.tellings
            agrees |= is_of_killed and answer.told == "error producer_lost"
            agrees |= is_of_killed and line is None and answer.told == "complete"
            self.pairs["answers", answer.told, line.end if line else "no line"] += 1
            if not agrees:
                self.faults.append(f"an answer ended otherwise than told: {answer} {line}")

    def check_metrics(self, samples: list[Sample], deaths: int) -> None:
        ended = _counted(samples, "streams_ended_total", "route", "outcome")
        logged_ends = Counter((each.route, each.outcome) for each in self._lines)
        # A worker counts a stream and then logs it: of one that is killed in between, only the count is there.
        unlogged = ended - logged_ends
        for key, count in unlogged.items():
            print(f"{count} counted, and killed before the line was written: {' '.join(key)}")
        if unlogged.total() <= min(len(self._worker_kills), self._without_line):
            logged_ends += unlogged
        self._compare("ended", ended, logged_ends)
        errors = _counted(samples, "stream_errors_total", "route", "code")
        if not any(route for route, _ in errors):
            logged = Counter(("", each.code) for each in self._lines if each.code)
        else:
            logged = Counter((each.route, each.code) for each in self._lines if each.code)
        self._compare("errors", errors, logged)
        refused = _counted(samples, "requests_refused_total", "status", "code")
        told_refusals = self._accounts.refusals()
        # A killed nginx took some refusals with it, of which it cannot be known whether they had come.
        untold = refused - told_refusals
        if untold.total() <= self._unanswered:
            print(
                f"{untold.total()} refused, and cut with nginx; {self._unanswered} requests have no answer"
            )
            told_refusals += untold
        self._compare("refused", refused, told_refusals)
        counted_deaths = _counted(samples, "worker_deaths_total")
        self._compare("worker deaths", counted_deaths, Counter({(): deaths}))
        lost = _counted(samples, "worker_lost_streams_total").total()
        print(
            f"{lost} open in killed workers when those last said so; {self._without_line} lost by the readers' accounts"
        )
        for route, count in _counted(samples, "open_streams", "route").items():
            if count:
                self.faults.append(f"{count} streams are open: {route}")

    def check_events(self, samples: list[Sample]) -> None:
        """Events are counted while a stream runs: those of streams that died with their worker may be, or not. Without a kill
        they are exact."""
        sent = _counted(samples, "sent_events_total")[()]
        logged = {each.request_id: each.events for each in self._lines if each.route != START}
        lost = [each for each in self._accounts.attempts if each.request_id not in logged]
        least, most = sum(logged.values()), sum(logged.values()) + sum(each.events for each in lost)
        print(
            f"events sent: {least} in the log, {sent:.0f} in the metrics, {most} with those of killed workers"
        )
        # The killed worker had not shared its last second, and its readers had not received its last events.
        unknown = _EVENTS_OF_A_SECOND * len(self._worker_kills)
        if not least - unknown <= sent <= most + unknown:
            self.faults.append(f"{sent} events sent, not {least} to {most}")

    def check_upstream(self, requests: list[str]) -> None:
        """Each request was sent to the upstream once."""
        self.faults += [f"sent {n} times: {each}" for each, n in Counter(requests).items() if n > 1]

    def _compare(self, what: str, counted: Counter[tuple[str, ...]], told: Counter) -> None:  # type: ignore[type-arg]
        for key in sorted(counted.keys() | told.keys()):
            mark = "" if counted[key] == told[key] else "  DIFFERS"
            print(
                f"{what:14} {' '.join(key):44} metrics {counted[key]:6.0f}  books {told[key]:6}{mark}"
            )
            if mark:
                self.faults.append(
                    f"{what} {key}: {counted[key]} in the metrics, {told[key]} in the books"
                )


def _counted(samples: list[Sample], name: str, *labels: str) -> Counter[tuple[str, ...]]:
    counts: Counter[tuple[str, ...]] = Counter()
    for sample in samples:
        if sample.name == f"sluice_{name}":
            counts[tuple(sample.labels.get(label, "") for label in labels)] += int(sample.value)
    return counts
