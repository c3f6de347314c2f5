"""The rules that a test gives to the simulator."""

from collections.abc import Callable
from typing import Any

_MATCH_FIELDS = (
    *("model", "path", "prompt", "conversation", "role", "tool"),
    *("api", "stream", "header", "request"),
)

Put = Callable[[dict[str, Any]], None]


class LlmRule:
    """What is answered to the requests that fit: one answer, or one after the other, of which the last is repeated.

    llm.refuse(429, retry_after=1).then_answer("It is sunny.")
    """

    def __init__(self, match: dict[str, Any], put: Put) -> None:
        self._match = match
        self._answers: list[dict[str, Any]] = []
        self._put = put

    def then_answer(self, text: str | None = None, **options: Any) -> "LlmRule":
        """Answer the next request with this. text, options: as in ``SimulatedLlm.answer``, without those that match"""
        return self.add(answer_fields(text, options))

    def then_fail(self, kind: str, *, after: int | None = None, **options: Any) -> "LlmRule":
        """Answer the next request with a fault. kind, after, options: as in ``SimulatedLlm.fail``"""
        return self.add(fault_fields(kind, after, options))

    def then_refuse(self, status: int, *, retry_after: int | None = None) -> "LlmRule":
        """Refuse the next request. status, retry_after: as in ``SimulatedLlm.refuse``"""
        return self.add(refusal_fields(status, retry_after))

    def add(self, answer: dict[str, Any]) -> "LlmRule":
        """Give one more answer, in the form of a scenario. Raises ValueError."""
        answers = [*self._answers, answer]
        self._put({"match": self._match, "answers": answers})
        self._answers = answers
        return self


def split_match(options: dict[str, Any]) -> dict[str, Any]:
    """Take what tells the requests out of the options, and return it."""
    found = {name: options.pop(name) for name in _MATCH_FIELDS if name in options}
    return {name: value for name, value in found.items() if value is not None}


def answer_fields(text: str | None, options: dict[str, Any]) -> dict[str, Any]:
    return options if text is None else {"text": text, **options}


def fault_fields(kind: str, after: int | None, options: dict[str, Any]) -> dict[str, Any]:
    fault: dict[str, Any] = {"kind": kind}
    if after is not None:
        fault["after"] = after
    return {**options, "fault": fault}


def refusal_fields(status: int, retry_after: int | None) -> dict[str, Any]:
    return (
        {"status": status}
        if retry_after is None
        else {"status": status, "retry_after": retry_after}
    )
