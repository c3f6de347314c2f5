"""A scenario: rules, of which the first that fits a request says how it is answered."""

from dataclasses import dataclass, field
from typing import Any

from flask_sluice.gateway.simulator.scenarios.answers import (
    ANSWER_FIELDS,
    Given,
    ReadTimes,
    convert,
    make_answer,
)
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError, check_names
from flask_sluice.gateway.simulator.scenarios.match import (
    Match,
    MatchFields,
    SeenRequest,
    make_match,
)

_RULE_FIELDS = ("name", "match", "answer", "answers", "after_last")
_SHORT_FIELDS = tuple(name for name in ANSWER_FIELDS if name in ("fault", "status", "retry_after"))
_AFTER_LAST = ("repeat", "restart")


@dataclass(slots=True)
class Rule:
    """What is answered to the requests that fit, with the count of them.

    answers: to the first request that the rule answers, the second, …
    starts_again: whether the first answer follows the last one; else the last one is given to all requests from there on
    """

    name: str
    match: Match
    answers: list[Given]
    starts_again: bool = False
    _fitting: int = 0
    _answered: int = 0

    def count_if_fits(self, seen: SeenRequest) -> bool:
        """Count a request that fits the match, its place left out; return whether the place fits, too."""
        if not self.match.fits(seen):
            return False
        self._fitting += 1
        return self.match.first <= self._fitting <= self.match.last

    def next_answer(self) -> Given:
        """Return the answer to one more request."""
        place, count = self._answered, len(self.answers)
        self._answered += 1
        return self.answers[place % count if self.starts_again else min(place, count - 1)]

    def go_on_from(self, earlier: "Rule") -> None:
        """Count on from another version of this rule."""
        self._fitting, self._answered = earlier._fitting, earlier._answered


@dataclass(slots=True)
class Scenario:
    """Rules, and the options that all answers have where neither the rule nor the request gives them."""

    rules: list[Rule] = field(default_factory=list)
    default: Given = field(default_factory=Given)

    def find(self, seen: SeenRequest) -> Given | None:
        """Return the answer of the first rule that fits, None if none does.

        Each rule with a place counts the requests that fit the rest of its match, also those that another rule answers.
        """
        found: Rule | None = None
        for rule in self.rules:
            if (found is None or rule.match.is_counted) and rule.count_if_fits(seen):
                found = found or rule
        return None if found is None else found.next_answer()


def make_scenario(document: Any, read_times: ReadTimes) -> Scenario:
    """Return the scenario of decoded TOML or JSON. Raises ScenarioError, whose message names the rule and the field."""
    if not isinstance(document, dict):
        raise ScenarioError("a scenario is a table with [[rule]] and [default]")
    check_names(document, ("rule", "default"))
    rules = document.get("rule", [])
    if not isinstance(rules, list):
        raise ScenarioError(
            "rule: the rules are a list; in TOML, [[rule]] begins each", field="rule"
        )
    made = [make_rule(fields, number, read_times) for number, fields in enumerate(rules, start=1)]
    default = Given()
    if "default" in document:
        try:
            default = make_answer(document["default"], read_times)
        except ScenarioError as error:
            raise ScenarioError(f"default: {error}", field=error.field) from None
    return Scenario(made, default)


def make_rule(fields: Any, number: int, read_times: ReadTimes) -> Rule:
    """Return a rule. number: its place in the scenario, from 1 on, for messages. Raises ScenarioError."""
    name = fields.get("name") if isinstance(fields, dict) else None
    where = f"rule {number} ({name})" if isinstance(name, str) else f"rule {number}"
    try:
        return _make_rule(fields, str(name or number), read_times)
    except ScenarioError as error:
        raise ScenarioError(f"{where}: {error}", number, error.field) from None


def _make_rule(fields: Any, name: str, read_times: ReadTimes) -> Rule:
    if not isinstance(fields, dict):
        raise ScenarioError(f"a rule is a table, got {fields!r}")
    check_names(fields, (*_RULE_FIELDS, *_SHORT_FIELDS))
    if not isinstance(fields.get("name", ""), str):
        raise ScenarioError("name: takes a text", field="name")
    after_last = fields.get("after_last", "repeat")
    if after_last not in _AFTER_LAST:
        raise ScenarioError(
            f"after_last: takes {' or '.join(_AFTER_LAST)}, got {after_last!r}", field="after_last"
        )
    match = _make_match(fields.get("match", {}))
    return Rule(name, match, _make_answers(fields, read_times), after_last == "restart")


def _make_match(fields: Any) -> Match:
    try:
        if not isinstance(fields, dict):
            raise ScenarioError(f"takes a table, got {fields!r}")
        check_names(fields, MatchFields.__struct_fields__)
        return make_match(convert(fields, MatchFields))
    except ScenarioError as error:
        raise ScenarioError(f"match: {error}", field=error.field or "match") from None


def _make_answers(fields: dict[str, Any], read_times: ReadTimes) -> list[Given]:
    short = {name: fields[name] for name in _SHORT_FIELDS if name in fields}
    if "answers" not in fields:
        answer = fields.get("answer", {})
        if "answer" not in fields and not short:
            raise ScenarioError("has no answer: give answer, answers, fault or status")
        if short:
            answer = {"text": answer} if isinstance(answer, str) else answer
            if not isinstance(answer, dict):
                raise ScenarioError(
                    f"answer: takes a text or a table, got {answer!r}", field="answer"
                )
            if twice := short.keys() & answer.keys():
                name = sorted(twice)[0]
                raise ScenarioError(f"{name}: is given in the rule and in its answer", field=name)
        return [_make_one({**answer, **short} if short else answer, "answer", read_times)]
    answers = fields["answers"]
    if "answer" in fields or short:
        other = "answer" if "answer" in fields else next(iter(short))
        raise ScenarioError(
            f"{other}: does not go with answers; give it in each of them", field=other
        )
    if not isinstance(answers, list) or not answers:
        raise ScenarioError("answers: takes a list of at least one answer", field="answers")
    return [
        _make_one(answer, f"answer {place}", read_times)
        for place, answer in enumerate(answers, start=1)
    ]


def _make_one(fields: Any, where: str, read_times: ReadTimes) -> Given:
    try:
        return make_answer(fields, read_times)
    except ScenarioError as error:
        raise ScenarioError(f"{where}: {error}", field=error.field or "answer") from None
