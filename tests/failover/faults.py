"""What is done to Redis: a row of the table in docs/redis.md each, for one of its columns."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.support.judged_streams.judgement import Judgement
from tests.support.judged_streams.scenario import Scenario, keys_that_stay

EXACT = "exactly once"
RESET = "exactly once, or `reset`"

LARGE_EVENTS = {"streams": 3, "per_second": 100.0, "event_bytes": 2000}
MANY_EVENTS = 120
"""So many of these are more than a worker holds of a stream, which is 128 KiB."""

_ALLOWED = {
    EXACT: {"exact"},
    RESET: {"exact", "reset"},
}


@dataclass(frozen=True)
class Fault:
    """A fault on one topology.

    title: the row
    topology: the column
    make: returns what is to be disturbed. It has ``url`` and ``nodes``, and ``with`` starts it
    disturb: gets that and the scenario; returns when the fault is over
    promise: what a reader gets
    silence_seconds: how much longer than the fault lasts a reader may be without an event, on a machine that is busy
        with other tests
    problems: how often trouble may begin and end
    stream_ids: returns those of the streams, where their slots matter
    options: of the ``Scenario``
    """

    title: str
    topology: str
    make: Callable[[], Any]
    disturb: Callable[[Any, Scenario], None]
    promise: str = EXACT
    silence_seconds: float = 15.0
    problems: int = 1
    stream_ids: Callable[[], Sequence[str]] = tuple
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.topology}: {self.title}"

    def run(self) -> Judgement:
        """Disturb, and see that the readers, the log and the keys are as promised."""
        servers = self.make()
        scenario = Scenario(servers.url, stream_ids=self.stream_ids(), **self.options)
        with ExitStack() as stack:
            stack.push(scenario.__exit__)
            scenario.launch()
            stack.enter_context(servers)
            stack.enter_context(scenario)
            began_at = time.monotonic()
            self.disturb(servers, scenario)
            lasted_seconds = time.monotonic() - began_at
            scenario.until_all_go_on()
            # Readers are to come and go, not just to sit there.
            scenario.until_visited(3)
            judgement = scenario.judge(self.problems)
            running = [node for node in servers.nodes if node.is_running]
            assert judgement.faults == [], judgement
            assert set(judgement.outcomes) <= _ALLOWED[self.promise], judgement
            assert judgement.silence_seconds <= lasted_seconds + self.silence_seconds, judgement
            assert judgement.untold_seconds <= scenario.told_seconds, judgement
            assert keys_that_stay(running) == []
        return judgement
