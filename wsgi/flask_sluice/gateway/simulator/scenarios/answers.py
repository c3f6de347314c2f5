"""The answers of a scenario's rules."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import msgspec

from flask_sluice.gateway.simulator.options import (
    Fault,
    FaultKind,
    FinishReason,
    SimulatorOptions,
    ToolCallOption,
)
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError, check_names

Api = Literal[
    "chat", "completions", "responses", "messages", "ollama", "gemini", "embeddings", "moderations"
]
"""The folders of ``apis``, whose requests a rule may be for."""

ReadTimes = Callable[[str], list[float]]
"""Returns the times of the recording in a file, as ``SimulatorOptions.times``. Raises ScenarioError."""

REFUSAL_FIELDS = ("status", "retry_after")
ANSWER_FIELDS = (*SimulatorOptions.__struct_fields__, *REFUSAL_FIELDS)

_CONTENT = ("text", "refusal", "tool_call", "tool_calls")
_MEANS = ("ttft_ms", "ttft_stddev_ms", "itl_ms", "itl_stddev_ms")
_REPLACES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_CONTENT, _CONTENT),
    **dict.fromkeys(_MEANS, ("times",)),
    "times": _MEANS,
}
"""What a field leaves nothing of, where it comes before other options."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": get_args(FaultKind),
    "finish_reason": get_args(FinishReason),
    "api": get_args(Api),
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Given:
    """Options of which it is known which have been given: those go before others, also where they equal the default."""

    options: SimulatorOptions = field(default_factory=SimulatorOptions)
    names: frozenset[str] = frozenset()

    def over(self, other: "Given") -> "Given":
        """Return these options, and of the others those that these do not give."""
        if not other.names:
            return self
        replaced = {name for own in self.names for name in (own, *_REPLACES.get(own, ()))}
        kept = other.names - replaced
        values = {name: getattr(other.options, name) for name in kept}
        values.update((name, getattr(self.options, name)) for name in self.names)
        return Given(SimulatorOptions(**values), kept | self.names)


def given_by_request(options: SimulatorOptions | None, body: bytes) -> Given:
    """Return the options of a request's own ``simulator`` object. body: the request's, which has been checked"""
    if options is None:
        return Given()
    names = msgspec.json.decode(body, type=_Body).simulator
    return Given(options, frozenset(names or ()))


class _Body(msgspec.Struct):
    simulator: dict[str, msgspec.Raw] | None = None


def make_answer(fields: Any, read_times: ReadTimes) -> Given:
    """Return the options of an answer in a scenario: a text, or an object of ``ANSWER_FIELDS``. Raises ScenarioError."""
    if isinstance(fields, str):
        fields = {"text": fields}
    if not isinstance(fields, dict):
        raise ScenarioError(f"takes a text or a table of options, got {fields!r}")
    check_names(fields, ANSWER_FIELDS)
    fields = _with_fault(fields)
    if isinstance(times := fields.get("times"), str):
        fields["times"] = read_times(times)
    _check_inner_names(fields)
    return Given(convert(fields, SimulatorOptions), frozenset(fields))


def _with_fault(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the fault in its long form: a kind alone, and status and retry_after, are short for it."""
    refusal = {name: fields[name] for name in REFUSAL_FIELDS if name in fields}
    rest = {name: value for name, value in fields.items() if name not in refusal}
    if isinstance(rest.get("fault"), str):
        rest["fault"] = {"kind": rest["fault"]}
    if refusal:
        if "fault" in rest:
            raise ScenarioError(
                f"{next(iter(refusal))} is short for a fault: give one of the two", field="fault"
            )
        rest["fault"] = {"kind": "status", **refusal}
    return rest


def _check_inner_names(fields: dict[str, Any]) -> None:
    if isinstance(fault := fields.get("fault"), dict):
        _check_names_in("fault", fault, Fault.__struct_fields__)
    calls = fields.get("tool_calls")
    for call in (*(calls if isinstance(calls, list) else ()), fields.get("tool_call")):
        if isinstance(call, dict):
            _check_names_in("tool call", call, ToolCallOption.__struct_fields__)


def _check_names_in(where: str, given: dict[str, Any], known: tuple[str, ...]) -> None:
    try:
        check_names(given, known)
    except ScenarioError as error:
        raise ScenarioError(f"{where}: {error}", field=error.field) from None


def convert(fields: Any, type_: type[T]) -> T:
    """Return decoded TOML or JSON as a ``type_``. Raises ScenarioError."""
    try:
        # By way of JSON: the arguments of a tool call are kept undecoded.
        return msgspec.json.decode(msgspec.json.encode(fields), type=type_)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        place = re.sub(r"\[[^]]*\]", "", place.rstrip("`").removeprefix("$")).removeprefix(".")
        if "Invalid enum value" in message:
            message += f"; it takes {', '.join(_CHOICES[place.rpartition('.')[2]])}"
        raise ScenarioError(f"{place}: {message}" if place else message, field=place) from None
