"""Which requests a rule is for."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import msgspec
from msgspec import Struct

from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.scenarios.answers import Api
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError
from flask_sluice.gateway.simulator.scenarios.last_message import LastMessage, last_message
from flask_sluice.gateway.simulator.scenarios.patterns import name_pattern, text_pattern

_RANGE = re.compile(r"(\d{1,9})(\.\.(\d{1,9})?)?")


class MatchFields(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The requests that fit in all fields that are given.

    model, path: the name itself, with ``*`` for any text, or a /regular expression/
    prompt: a text that the user's last message contains, or one of the prompts; or a /regular expression/
    conversation: the same for all that the model reads, system messages and earlier turns included
    role: of the last message: "user", "tool", "assistant", …
    tool: the name of a tool that the request offers, or whose result is its last message
    api: "chat", "completions", "responses", "messages", "ollama", "gemini", …
    stream: whether a stream is asked for
    header: the values of headers, as ``model``
    request: the place among the requests that fit the rest: 1, "2..", "2..3"
    """

    model: str | None = None
    path: str | None = None
    prompt: str | None = None
    conversation: str | None = None
    role: str | None = None
    tool: str | None = None
    api: Api | None = None
    stream: bool | None = None
    header: dict[str, str] = msgspec.field(default_factory=dict)
    request: int | str | None = None


class Headers(Protocol):
    """Finds a header by its name in any case."""

    def get(self, key: str, default: str, /) -> str | None: ...


class SeenRequest:
    """What rules look at.

    api: the API's name, as in ``MatchFields``
    body: as it came
    """

    def __init__(self, asked: Asked, *, api: str, path: str, headers: Headers, body: bytes) -> None:
        self.asked = asked
        self.api = api
        self.path = path
        self.headers = headers
        self._body = body

    @cached_property
    def last_message(self) -> LastMessage:
        """The message with which the conversation ends."""
        return last_message(self._body)

    def has_tool(self, name: str) -> bool:
        """Return whether a tool is offered, or has just been called."""
        return any(tool.name == name for tool in self.asked.tools) or (
            bool(self.asked.tool_results) and name in self.last_message.tools
        )


@dataclass(frozen=True, slots=True)
class Match:
    """Tells whether a request fits. first, last: which of the requests that fit, counted from 1"""

    conditions: tuple[Callable[[SeenRequest], bool], ...] = ()
    first: int = 1
    last: float = float("inf")

    @property
    def is_counted(self) -> bool:
        """Whether it matters how many requests there were before."""
        return (self.first, self.last) != (1, float("inf"))

    def fits(self, seen: SeenRequest) -> bool:
        """Return whether the request fits, its place left out."""
        return all(fits(seen) for fits in self.conditions)


def make_match(fields: MatchFields) -> Match:
    """Return what tells the requests. Raises ScenarioError."""
    conditions: list[Callable[[SeenRequest], bool]] = []
    if fields.api is not None:
        conditions.append(lambda seen: seen.api == fields.api)
    if fields.stream is not None:
        conditions.append(lambda seen: seen.asked.is_stream == fields.stream)
    if fields.model is not None:
        is_model = _in_field("model", name_pattern, fields.model)
        conditions.append(lambda seen: is_model(seen.asked.model))
    if fields.path is not None:
        is_path = _in_field("path", name_pattern, fields.path)
        conditions.append(lambda seen: is_path(seen.path))
    for name, text in fields.header.items():
        conditions.append(_header_condition(name, _in_field("header", name_pattern, text)))
    if (tool := fields.tool) is not None:
        conditions.append(lambda seen: seen.has_tool(tool))
    if fields.role is not None:
        conditions.append(lambda seen: seen.last_message.role == fields.role)
    if fields.prompt is not None:
        is_in = _in_field("prompt", text_pattern, fields.prompt)
        conditions.append(lambda seen: any(map(is_in, seen.asked.questions)))
    if fields.conversation is not None:
        is_in_all = _in_field("conversation", text_pattern, fields.conversation)
        conditions.append(lambda seen: is_in_all(seen.asked.prompt_text))
    return Match(tuple(conditions), *_places(fields.request))


def _header_condition(name: str, fits: Callable[[str], bool]) -> Callable[[SeenRequest], bool]:
    return lambda seen: fits(seen.headers.get(name, "") or "")


def _in_field(
    field: str, make: Callable[[str], Callable[[str], bool]], text: str
) -> Callable[[str], bool]:
    try:
        return make(text)
    except ScenarioError as error:
        raise ScenarioError(f"{field}: {error}", field=field) from None


def _places(request: int | str | None) -> tuple[int, float]:
    """Return the first and the last request that the rule is for, counted from 1. Raises ScenarioError."""
    if request is None:
        return 1, float("inf")
    found = _RANGE.fullmatch(str(request))
    if found is not None:
        first = int(found[1])
        last = float(found[3] or "inf") if found[2] else first
        if 1 <= first <= last:
            return first, last
    raise ScenarioError(
        f'request: takes a number from 1 on, "2.." for all from there on, or "2..3", got {request!r}',
        field="request",
    )
