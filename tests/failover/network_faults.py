"""Faults of the network between the workers and one server."""

import time

from tests.failover.faults import Fault
from tests.failover.one_server import OneServer, ProxiedServer
from tests.support.judged_streams.scenario import Scenario
from tests.support.server import wait_until

_TOPOLOGY = "one server"


def _vanish_briefly(server: ProxiedServer, scenario: Scenario) -> None:
    server.proxy.swallow()
    scenario.until_produced(40)
    server.proxy.pass_on()


def _vanish(server: ProxiedServer, scenario: Scenario) -> None:
    vanished_at = time.monotonic()
    server.proxy.swallow()
    scenario.until_problem("imeout")
    wait_until(lambda: time.monotonic() > vanished_at + 12, 13)
    server.proxy.pass_on()


def _delay(server: ProxiedServer, scenario: Scenario) -> None:
    server.proxy.delay_seconds = 0.05
    scenario.until_produced(100)
    assert [worker.log() for worker in scenario.workers] == [[], []]


def _close_again_and_again(server: OneServer, scenario: Scenario) -> None:
    for _ in range(20):
        server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        scenario.until_produced(5)


def _close_idle_ones(server: OneServer, scenario: Scenario) -> None:
    """The producer is silent for longer than that. It is not an outage."""
    server.client.config_set("timeout", 1)
    scenario.until_produced(3)
    assert [worker.log() for worker in scenario.workers] == [[], []]


FAULTS = [
    Fault("packets vanish for a second", _TOPOLOGY, ProxiedServer, _vanish_briefly),
    Fault(
        "packets vanish for 12 s, which is longer than streams are kept",
        _TOPOLOGY,
        ProxiedServer,
        _vanish,
        silence_seconds=22,
        options={"history_seconds": 5},
    ),
    Fault("everything takes 50 ms more, in each direction", _TOPOLOGY, ProxiedServer, _delay),
    Fault(
        "all connections are closed, 20 times",
        _TOPOLOGY,
        OneServer,
        _close_again_and_again,
        # A connection that is closed again before it has brought anything counts as an outage.
        problems=8,
    ),
    Fault(
        "idle connections are closed (`timeout 1`)",
        _TOPOLOGY,
        OneServer,
        _close_idle_ones,
        options={"streams": 1, "per_second": 0.6},
    ),
]
