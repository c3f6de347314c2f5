"""What all cases share: the upstream, the servers that can be put in front of it, and how much is measured."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks import processes, servers
from benchmarks.load import Result
from benchmarks.measure import Rounds, Scale, T, Target, in_turns
from benchmarks.processes import Process
from benchmarks.servers import Start

SLUICE = "Sluice"
SIMULATOR = "Sluice's simulator"


@dataclass
class Bench:
    """fast: the relays that can take the full rate of events; slow: those that cannot

    foreign_shares: what the machine did meanwhile that was neither server nor load, in each run, of all its cores
    """

    scale: Scale
    upstream: Process
    fast: dict[str, Start]
    slow: dict[str, Start]
    foreign_shares: list[float] = field(default_factory=list)

    def in_turns(
        self,
        targets: Mapping[str, T],
        run: Callable[[T], Result],
        warm_up: Callable[[T], Result] | None = None,
    ) -> Rounds:
        """warm_up: makes the connections to the upstream and warms up the interpreters; None: as ``run`` does"""
        in_turns(targets, warm_up or run, 1)
        rounds = in_turns(targets, run, self.scale.rounds)
        for results in rounds.values():
            self.foreign_shares += [_foreign_share(result) for result in results]
        return rounds

    def open_streams(self, targets: Mapping[str, Target], streams: int, rate: int) -> Rounds:
        """Each with that many streams, which make ``rate`` events per second together."""
        interval_ms, rest = divmod(1000 * streams, rate)
        assert not rest, "the upstream counts in whole milliseconds"
        seconds = self.scale.window_seconds
        return self.in_turns(
            targets,
            lambda target: target.open_streams(streams, interval_ms, seconds),
            lambda target: target.open_streams(streams, interval_ms, seconds / 8),
        )

    @contextmanager
    def relays(self, starts: Mapping[str, Start]) -> Iterator[dict[str, Target]]:
        with ExitStack() as running:
            yield {
                name: Target(running.enter_context(start(self.upstream.port)), self.upstream)
                for name, start in starts.items()
            }


@contextmanager
def bench(scale: Scale) -> Iterator[Bench]:
    fast: dict[str, Start] = {"nginx": servers.nginx}
    if shutil.which("go"):
        fast["Go ReverseProxy"] = servers.go_reverse_proxy
    fast |= {SLUICE: servers.sluice, "gevent generator": servers.gevent_generator}
    slow: dict[str, Start] = {
        "Starlette + httpx": servers.starlette_httpx,
        "sse-starlette + httpx": servers.sse_starlette_httpx,
    }
    with processes.started(processes.upstream) as upstream:
        yield Bench(scale, upstream, fast, slow)


def left_out() -> list[str]:
    """What cannot be measured here, each with its reason."""
    reasons = []
    if not shutil.which("go"):
        reasons.append(
            "Go's ReverseProxy is left out: go is not installed (apt-get install golang-go)."
        )
    if not shutil.which("redis-server"):
        reasons.append("Redis is left out: it is not installed (apt-get install redis-server).")
    return reasons


def _foreign_share(result: Result) -> float:
    usage = result.usage
    return max(usage.machine - usage.server - usage.load, 0) / usage.wall / processes.CORES
