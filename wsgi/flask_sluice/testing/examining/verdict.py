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
    if run.exit_code is None:
        return Verdict.FAULT, f"it still waited after {run.seconds:.0f} s"
    if run.exit_code != 0:
        if case.expected is Expected.SUCCESS:
            why = f"it failed (exit code {run.exit_code}), although nothing is wrong"
            return Verdict.FAULT, why
        return Verdict.OK, f"it noticed (exit code {run.exit_code})"
    if case.expected is Expected.FAILURE:
        return _succeeded_where_it_should_not(case, run, shows_text=shows_text)
    if shows_text and not run.has_whole_text:
        is_fault = case.expected is Expected.SUCCESS
        verdict = Verdict.FAULT if is_fault else Verdict.WARNING
        return verdict, "it showed another text than it was sent"
    return Verdict.OK, "it took the whole answer"


def _succeeded_where_it_should_not(
    case: Case, run: Run, *, shows_text: bool
) -> tuple[Verdict, str]:
    has_whole = run.has_whole_text if shows_text else case.is_once
    if run.request_count > 1 and has_whole:
        return Verdict.OK, "it asked again, and has the whole answer"
    return Verdict.FAULT, "it took this for success"


def _requests(run: Run) -> str:
    if run.request_count == 0:
        return "; it sent no request"
    if run.request_count == 1:
        return ""
    waits = ", ".join(f"{seconds:.1f}" for seconds in run.waits_seconds)
    return f"; {run.request_count} requests, {waits} s apart"
