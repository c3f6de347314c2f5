"""What the doctor found."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask_sluice.doctor.remedies.remedy import Remedy

GROUPS = (
    *("headers", "delivery", "silence", "framing"),
    *("end", "resuming", "leaving", "load"),
)
EXIT_SOUND, EXIT_FAULTS, EXIT_NOT_EXAMINED = 0, 1, 2


class Verdict(enum.Enum):
    """What a check says."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    group: one of GROUPS
    name: what was checked, the same in each examination, such as "one-by-one"
    evidence: one or two sentences with the numbers that were measured; for a skipped check the reason
    remedies: for a fault or warning: what to change, the likeliest place first
    numbers: the same measurements for programs, with their units in the names
    """

    group: str
    name: str
    verdict: Verdict
    evidence: str
    remedies: tuple[Remedy, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.group}.{self.name}"


@dataclass(frozen=True)
class Report:
    """All that one examination found.

    url: what was examined
    preset: how the stream was understood: "openai", "eventsource", "anthropic" or "mcp"
    checks: in the order in which they were made
    problem: why the stream could not be examined; "" if it was
    request_count: how many requests were sent
    seconds: how long the examination took
    chart: the arrivals of the first stream: (seconds, bytes, events) each
    """

    url: str
    preset: str
    checks: tuple[Check, ...]
    problem: str = ""
    request_count: int = 0
    seconds: float = 0.0
    chart: tuple[tuple[float, int, int], ...] = ()

    @property
    def faults(self) -> tuple[Check, ...]:
        return self._with(Verdict.FAULT)

    @property
    def warnings(self) -> tuple[Check, ...]:
        return self._with(Verdict.WARNING)

    @property
    def exit_code(self) -> int:
        """0: no fault; 1: at least one fault; 2: the stream could not be examined."""
        if self.problem:
            return EXIT_NOT_EXAMINED
        return EXIT_FAULTS if self.faults else EXIT_SOUND

    @property
    def sentence(self) -> str:
        """The whole report in one sentence."""
        if self.problem:
            return f"The stream could not be examined: {self.problem}"
        if not self.faults and not self.warnings:
            count = len(self._with(Verdict.OK))
            return f"The stream is fine: {count} checks, no fault and no warning."
        found = [_counted(len(self.faults), "fault"), _counted(len(self.warnings), "warning")]
        worst = (self.faults or self.warnings)[0]
        evidence = worst.evidence.split(". ")[0].rstrip(".")
        return f"The stream has {' and '.join(filter(None, found))}; first {worst.full_name}: {evidence}."

    def check(self, full_name: str) -> Check:
        """Return the check, such as "delivery.one-by-one". Raises KeyError if it was not made."""
        for check in self.checks:
            if check.full_name == full_name:
                return check
        raise KeyError(full_name)

    def _with(self, verdict: Verdict) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict is verdict)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}" if count else ""


class CheckMaker:
    """Makes the checks of one group, in short."""

    def __init__(self, group: str) -> None:
        self._group = group

    def ok(self, name: str, evidence: str, **numbers: Any) -> Check:
        return Check(self._group, name, Verdict.OK, evidence, numbers=numbers)

    def warning(
        self, name: str, evidence: str, remedies: Iterable[Remedy] = (), **numbers: Any
    ) -> Check:
        return Check(self._group, name, Verdict.WARNING, evidence, tuple(remedies), numbers)

    def fault(
        self, name: str, evidence: str, remedies: Iterable[Remedy] = (), **numbers: Any
    ) -> Check:
        return Check(self._group, name, Verdict.FAULT, evidence, tuple(remedies), numbers)

    def skipped(self, name: str, reason: str) -> Check:
        return Check(self._group, name, Verdict.SKIPPED, reason)
