"""A scenario: rules, of which the first that fits a request says how it is answered."""

import difflib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec import Struct

from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.options import SimulatorOptions

_RANGE = re.compile(r"(\d{1,9})(?:(\.\.)(\d{1,9})?)?")
_SEARCHED_CHARACTERS = 1_000_000
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")


class ScenarioError(ValueError):
    """The scenario is wrong; the message says where and what is taken there."""


class Match(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which requests a rule is for: those that fit in all fields that are given.

    model, path: with * for any text and ? for any character, such as "gpt-4*" and "/v1/chat/*"
    prompt: a text that the last message of the user, or the prompt, contains, in upper or lower case
    tool: the name of a tool that the request offers
    has_tool_result: whether the conversation ends with the result of a tool
    stream: whether a stream is asked for
    request: the place of the request among those that fit the rest: 1 for the first, "2.." for all after it, "2..3"
    """

    model: str | None = None
    path: str | None = None
    prompt: str | None = None
    tool: str | None = None
    has_tool_result: bool | None = None
    stream: bool | None = None
    request: int | str | None = None

    def __post_init__(self) -> None:
        if self.request is not None:
            first, last = self.places
            if first < 1 or last < first:
                raise ValueError(f"request: counts from 1, got {self.request!r}")

    @property
    def places(self) -> tuple[int, float]:
        """The first and the last request that the rule is for, counted from 1."""
        if self.request is None:
            return 1, float("inf")
        found = _RANGE.fullmatch(str(self.request))
        if found is None:
            raise ValueError(f'request: takes a number, "2.." or "2..3", got {self.request!r}')
        first = int(found[1])
        if found[2] is None:
            return first, first
        return first, float("inf") if found[3] is None else int(found[3])

    def fits(self, asked: Asked, path: str) -> bool:
        """Return whether the request fits, its place left out."""
        return (
            (self.model is None or fnmatchcase(asked.model, self.model))
            and (self.path is None or fnmatchcase(path, self.path))
            and (self.stream is None or self.stream == asked.is_stream)
            and (self.tool is None or any(self.tool == tool.name for tool in asked.tools))
            and self.has_tool_result in (None, bool(asked.tool_results))
            and (self.prompt is None or self._is_in(asked.questions))
        )

    def _is_in(self, questions: list[str]) -> bool:
        wanted = (self.prompt or "").casefold()
        return any(wanted in question[:_SEARCHED_CHARACTERS].casefold() for question in questions)


class Rule(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is answered to the requests that fit.

    answer: to all of them
    answers: in its place: to the first, the second, … and the last of them to all others
    """

    match: Match = msgspec.field(default_factory=Match)
    answer: SimulatorOptions | None = None
    answers: list[SimulatorOptions] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.answer is None) == (not self.answers):
            raise ValueError("a rule has either `answer` or `answers`")

    def answer_to(self, place: int) -> SimulatorOptions:
        """Return the answer to the request at that place, counted from 0."""
        if self.answer is not None:
            return self.answer
        return self.answers[min(place, len(self.answers) - 1)]


class Scenario(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Rules, and what all answers have in common.

    default: for the fields that neither a request's own ``simulator`` object nor its rule gives
    """

    default: SimulatorOptions = msgspec.field(default_factory=SimulatorOptions)
    rule: list[Rule] = msgspec.field(default_factory=list)


class RunningScenario:
    """A scenario with the count of the requests that each rule has met.

    before: the one that it takes the place of: rules with the same conditions go on counting
    """

    def __init__(self, scenario: Scenario, before: "RunningScenario | None" = None) -> None:
        self._scenario = scenario
        self._met = [0] * len(scenario.rule)
        self._answered = [0] * len(scenario.rule)
        if before is not None:
            rules = zip(scenario.rule, before._scenario.rule, strict=False)
            for number, (rule, old) in enumerate(rules):
                if rule.match == old.match:
                    self._met[number] = before._met[number]
                    self._answered[number] = before._answered[number]

    def options_for(self, asked: Asked, path: str) -> SimulatorOptions:
        """Return how a request is to be answered. It counts the request.

        asked: with the options that the request itself gives, which go before the scenario's
        """
        given = [asked.options]
        for number, rule in enumerate(self._scenario.rule):
            if not rule.match.fits(asked, path):
                continue
            self._met[number] += 1
            first, last = rule.match.places
            if first <= self._met[number] <= last:
                given.append(rule.answer_to(self._answered[number]))
                self._answered[number] += 1
                break
        return _joined([*given, self._scenario.default])


def parse_scenario(document: Any) -> Scenario:
    """Return the scenario of a decoded document. Raises ScenarioError."""
    try:
        return msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(_explained(str(error))) from None


def _joined(options: list[SimulatorOptions]) -> SimulatorOptions:
    """Return the options of which the first that says something goes before the others."""
    fields: dict[str, Any] = {}
    defaults = SimulatorOptions()
    for each in options:
        for name in each.__struct_fields__:
            value = getattr(each, name)
            if name not in fields and value != getattr(defaults, name):
                fields[name] = value
    if "tool_call" in fields and "tool_calls" in fields:
        # They exclude each other; the one that was given first is meant.
        names = list(fields)
        del fields[max("tool_call", "tool_calls", key=names.index)]
    return SimulatorOptions(**fields)


def _explained(message: str) -> str:
    """Return msgspec's message with the rule in words, and the nearest name for one that is unknown."""
    text, _, path = message.partition(" - at `")
    place = path.rstrip("`").removeprefix("$").removeprefix(".")
    place = re.sub(r"^rule\[(\d+)\]", lambda found: f"rule {int(found[1]) + 1}", place)
    place = re.sub(r"\.answers\[(\d+)\]", lambda found: f", answer {int(found[1]) + 1}", place)
    if unknown := _UNKNOWN.search(text):
        known = list(_known_fields())
        close = difflib.get_close_matches(unknown["field"], known, n=1, cutoff=0.6)
        text += f"; did you mean {close[0]}?" if close else ""
    return f"{place.replace('.', ', ', 1)}: {text}" if place else text


def _known_fields() -> Iterator[str]:
    for kind in (Scenario, Rule, Match, SimulatorOptions):
        yield from kind.__struct_fields__
