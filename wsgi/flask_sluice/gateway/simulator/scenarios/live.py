"""What a worker answers now: the rules that a test has set, and then a scenario."""

from pathlib import Path
from typing import Any

from flask_sluice.gateway.simulator.scenarios.answers import Given
from flask_sluice.gateway.simulator.scenarios.match import SeenRequest
from flask_sluice.gateway.simulator.scenarios.recorded_times import times_of
from flask_sluice.gateway.simulator.scenarios.scenario import (
    Rule,
    Scenario,
    make_rule,
    make_scenario,
)
from flask_sluice.gateway.simulator.scenarios.scenario_file import ScenarioFile


class LiveScenario:
    """The rules and the scenario of one worker.

    path: of the scenario's file; None: there is none to begin with

    Raises ScenarioError.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._rules: list[Rule] = []
        self._file: ScenarioFile | None = None
        self._scenario = Scenario()
        self.reset()

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing of any request."""
        scenario = self._current()
        return not (self._rules or scenario.rules or scenario.default.names)

    def options_for(self, given: Given, seen: SeenRequest) -> Given:
        """Return how a request is to be answered, and count it. given: the request's own options, which go first"""
        scenario = self._current()
        found = Scenario(self._rules).find(seen) or scenario.find(seen) or Given()
        return given.over(found).over(scenario.default)

    def put_rule(self, name: str, fields: Any) -> None:
        """Put a rule before all others, or a new version in the place of the one with that name. Raises ScenarioError."""
        rule = make_rule(fields, 1, _times_of)
        rule.name = name
        for place, earlier in enumerate(self._rules):
            if earlier.name == name:
                rule.go_on_from(earlier)
                self._rules[place] = rule
                return
        self._rules.insert(0, rule)

    def put_file(self, path: str) -> None:
        """Take the scenario of a file, without the rules that were there. Raises ScenarioError."""
        self._file = ScenarioFile(path)
        self._rules = []

    def put_scenario(self, document: Any) -> None:
        """Take a scenario, without the rules that were there. Raises ScenarioError."""
        self._scenario = make_scenario(document, _times_of)
        self._file = None
        self._rules = []

    def reset(self) -> None:
        """Begin anew, with the file that was there in the beginning. Raises ScenarioError."""
        self._file = None if self._path is None else ScenarioFile(self._path)
        self._scenario = Scenario()
        self._rules = []

    def _current(self) -> Scenario:
        return self._scenario if self._file is None else self._file.current()


def _times_of(path: str) -> list[float]:
    return times_of(Path(path))
