"""Runs servers under one load, in turns."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.load import Load, Result
from benchmarks.processes import Process, run_load

CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Scale:
    """How much is measured. Each case warms every server up and then runs them ``rounds`` times, in turns.

    events_per_second: of all streams together; slow_events_per_second: what each of the peers can take
    more_streams: numbers of streams that make the same events per second
    flat_out: streams, and events of each
    short_answers: of ten events each, ``short_at_once`` at a time; of the slow peers fewer
    idle_relayed, idle_simulated: numbers of streams whose memory is taken
    cancels: clients that leave, one after the other
    codec_events: that are parsed, and made
    kept_streams: streams that are kept in Redis, and events of each in a second
    followed_streams: two such numbers with the same events a second in all
    """

    rounds: int = 3
    window_seconds: float = 2.0
    events_per_second: int = 10_000
    slow_events_per_second: int = 4_000
    streams: int = 200
    more_streams: tuple[int, ...] = (50, 200, 1000, 4000)
    flat_out: tuple[int, int] = (50, 1000)
    short_answers: int = 2000
    short_at_once: int = 50
    idle_relayed: tuple[int, ...] = (1000, 8000)
    idle_simulated: tuple[int, ...] = (1000, 8000, 15_000)
    cancels: int = 100
    codec_events: int = 30_000
    kept_streams: tuple[tuple[int, float], ...] = ((200, 50), (1000, 5))
    followed_streams: tuple[tuple[int, float], tuple[int, float]] = ((200, 50), (4000, 2.5))


@dataclass(frozen=True)
class Target:
    """A server, and what is asked of it.

    upstream: that it asks in turn; None where it makes the events itself
    body: of requests, in place of what says the upstream how to answer
    """

    server: Process
    upstream: Process | None
    path: str = CHAT
    body: str | None = None

    def open_streams(self, streams: int, interval_ms: int, window_seconds: float) -> Result:
        """Streams without an end, each with an event every ``interval_ms``; counts within the window."""
        return self._load(
            f"1000000x{interval_ms}", concurrent=streams, window_seconds=window_seconds
        )

    def answers(self, events: int, at_once: int, answers: int, together: int = 1) -> Result:
        """Answers that come as fast as they can, read to their ends. Raises RuntimeError if one fails.

        together: events in one send of the upstream's
        """
        result = self._load(f"{events}x0x{together}", concurrent=at_once, answers=answers)
        if result.errors:
            raise RuntimeError(f"{result.errors} of {answers} answers failed")
        return result

    def _load(
        self, model: str, concurrent: int, answers: int = 0, window_seconds: float = 0.0
    ) -> Result:
        return run_load(
            Load(
                url=f"http://127.0.0.1:{self.server.port}{self.path}",
                body=self.body or json.dumps({"model": model, "stream": True, "messages": []}),
                concurrent=concurrent,
                server_pid=self.server.pid,
                upstream_pid=self.upstream.pid if self.upstream else None,
                answers=answers,
                window_seconds=window_seconds,
                has_send_times=self.body is None,
            )
        )


def simulator_body(interval_ms: int, tokens: int) -> str:
    """What asks Sluice's simulator for a stream of so many tokens."""
    return json.dumps(
        {
            "model": "simulator",
            "stream": True,
            "messages": [{"role": "user", "content": "Why stream?"}],
            "simulator": {"itl_ms": interval_ms, "tokens": tokens},
        }
    )


T = TypeVar("T")
Rounds = Mapping[str, Sequence[Result]]
"""What came of each server, round by round."""


def in_turns(targets: Mapping[str, T], run: Callable[[T], Result], rounds: int) -> Rounds:
    """Each server under the same load, one after the other, ``rounds`` times.

    What else the machine does then hits all of them alike.
    """
    results: dict[str, list[Result]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, target in targets.items():
            try:
                results[name].append(run(target))
            except RuntimeError as error:
                error.add_note(f"so it is with {name}")
                raise
    return results
