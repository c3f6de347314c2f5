"""Faults of one server that is up, and refuses or forgets."""

from collections.abc import Callable

from tests.failover.faults import RESET, Fault
from tests.failover.one_server import OneServer, StoringServer
from tests.support.judged_streams.scenario import Scenario
from tests.system.test_journal_refusals import REFUSALS, Refusal

_TOPOLOGY = "one server"
_TITLES = {
    "a replica": "it becomes a replica and refuses to write (`READONLY`)",
    "a replica without its primary": "it becomes a replica and refuses everything (`MASTERDOWN`)",
    "full": "it is full (`OOM`)",
    "without replicas": "it has lost its replicas (`NOREPLICAS`)",
    "a full disk": "it cannot save (`MISCONF`)",
    "no right to write": "the user's rights are taken and given back (`NOPERM`)",
    "another password": "the password is another for a while (`NOAUTH`)",
    "too many clients": "it has too many clients",
    "an endless script": "a script runs without an end (`BUSY`)",
    "silent": "it hangs",
    "paused for writes": "writes are paused",
}
"""Of the refusals that are here; other rights than that to write make no difference to readers."""

_OTHERS = 8000
_BYTES = 200


def _refuse(refusal: Refusal) -> Callable[[OneServer, Scenario], None]:
    def disturb(server: OneServer, scenario: Scenario) -> None:
        refusal.begin(server)
        scenario.until_problem(refusal.told)
        refusal.end(server)

    return disturb


def _load_slowly() -> StoringServer:
    return StoringServer(
        *("--loading-process-events-interval-bytes", "1024", "--key-load-delay", "200")
    )


def _load(server: StoringServer, scenario: Scenario) -> None:
    """It has more to read than our streams."""
    _fill(server, "other", _OTHERS)
    server.kill()
    server.launch()
    scenario.until_problem("loading")
    server.wait_until_it_answers()
    _empty(server)


def _evict(server: OneServer, scenario: Scenario) -> None:
    """It drops every key after ten seconds or so."""
    _fill(server, "other", _OTHERS)
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"])
    for number in range(20):
        _fill(server, f"more-{number}", 200)
        scenario.until_produced(5)
    assert server.client.info("stats")["evicted_keys"] > 2000
    server.client.config_set("maxmemory", 0)
    _empty(server)


def _fill(server: OneServer, name: str, count: int) -> None:
    """Add keys of others', that expire long after ours."""
    with server.client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.set(f"{name}-{number}", "x" * _BYTES, ex=3600)
        pipeline.execute()


def _empty(server: OneServer) -> None:
    """Remove the keys of others'."""
    for pattern in ("other-*", "more-*"):
        if keys := server.client.keys(pattern):
            server.client.delete(*keys)


FAULTS = [
    *(
        Fault(_TITLES[refusal.name], _TOPOLOGY, OneServer, _refuse(refusal))
        for refusal in REFUSALS
        if refusal.name in _TITLES
    ),
    Fault("it loads its data (`LOADING`)", _TOPOLOGY, _load_slowly, _load),
    *(
        Fault(
            f"it drops keys because it is full (`maxmemory-policy {policy}`)",
            _TOPOLOGY,
            lambda policy=policy: OneServer("--maxmemory-policy", policy),
            _evict,
            RESET,
        )
        for policy in ("allkeys-random", "allkeys-lru", "volatile-ttl")
    ),
]
