"""What a client's end says of it."""

from dataclasses import dataclass
from enum import Enum

from flask_sluice.testing.examining.cases import TEXT, Case, Expected


class Verdict(Enum):
    """What to think of it."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Run:
    """How the client ended in one case.

    exit_code: None: it had not ended in time, and was stopped
    output: what it wrote to its standard output
    request_count: how many requests it sent
    waits_seconds: between one request and the next
    """

    exit_code: int | None
    output: str
    seconds: float
    request_count: int
    waits_seconds: tuple[float, ...] = ()

    @property
    def has_whole_text(self) -> bool:
        """Whether it shows the whole answer; line ends that a client puts in do not matter."""
        return "".join(TEXT.split()) in "".join(self.output.split())


@dataclass(frozen=True, slots=True)
class Judged:
    """A case, how the client ended, and what that says."""

    case: Case
    run: Run
    verdict: Verdict
    sentence: str


def judge(case: Case, run: Run, *, shows_text: bool) -> Judged:
    """Judge a run.

    shows_text: whether the client writes the answer to its standard output, as the run without a fault has shown
    """
    verdict, sentence = _judge(case, run, shows_text=shows_text)
    return Judged(case, run, verdict, sentence + _requests(run))


def _judge(case: Case, run: Run, *, shows_text: bool) -> tuple[Verdict, str]:
    is_whole = run.has_whole_text
    if run.exit_code is None:
        return Verdict.FAULT, f"it still waited after {run.seconds:.0f} s"
    if run.exit_code != 0:
        return _failed(case, run)
    if case.expected is Expected.SUCCESS:
        if shows_text and not is_whole:
            return Verdict.FAULT, "it showed another text than it was sent"
        return Verdict.OK, "it took the whole answer"
    if case.expected is Expected.EITHER:
        if shows_text and not is_whole:
            return Verdict.WARNING, "it took the answer, with a piece of it twice or missing"
        return Verdict.OK, "it took the whole answer"
    if run.request_count > 1 and (is_whole or (case.is_once and not shows_text)):
        return Verdict.OK, "it asked again, and has the whole answer"
    return Verdict.FAULT, "it took this for success"


def _failed(case: Case, run: Run) -> tuple[Verdict, str]:
    if case.expected is Expected.SUCCESS:
        return Verdict.FAULT, f"it failed (exit code {run.exit_code}), although nothing is wrong"
    return Verdict.OK, f"it noticed (exit code {run.exit_code})"


def _requests(run: Run) -> str:
    if run.request_count == 0:
        return "; it sent no request"
    if run.request_count == 1:
        return ""
    waits = ", ".join(f"{seconds:.1f}" for seconds in run.waits_seconds)
    return f"; {run.request_count} requests, {waits} s apart"
