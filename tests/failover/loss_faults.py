"""Faults of one server, or of one and its replica, after which Redis has less than it had, or is another."""

from tests.failover.faults import LARGE_EVENTS, MANY_EVENTS, RESET, Fault
from tests.failover.one_server import ManagedPair, OneServer, StoringServer
from tests.support.judged_streams.scenario import Scenario

_TOPOLOGY = "one server"


def _flush(server: OneServer, scenario: Scenario) -> None:
    server.client.flushall()


def _start_empty(server: OneServer, scenario: Scenario) -> None:
    server.kill()
    server.start()
    assert server.client.info("persistence")["loading"] == 0


def _start_again(server: StoringServer, scenario: Scenario) -> None:
    server.kill()
    server.start()


def _start_with_old_data(server: StoringServer, scenario: Scenario) -> None:
    server.remember()
    scenario.until_produced(20)
    scenario.until_all_go_on()
    server.kill()
    server.start_as_remembered()


def _start_with_data_that_are_too_old(server: StoringServer, scenario: Scenario) -> None:
    server.remember()
    scenario.until_produced(MANY_EVENTS)
    scenario.until_all_go_on()
    server.kill()
    server.start_as_remembered()
    # These need what no process has.
    for worker in scenario.workers:
        worker.read_judged(scenario.stream_ids, 10)


def _fail_over(pair: ManagedPair, scenario: Scenario) -> None:
    pair.fail_over()
    scenario.until_problem("READONLY")
    pair.proxy.target = pair.second.port


def _replace(pair: ManagedPair, scenario: Scenario) -> None:
    pair.promote()
    pair.demote()


def _replace_by_an_old_one(pair: ManagedPair, scenario: Scenario) -> None:
    """What is stored after the one is promoted and before the other is demoted is lost."""
    pair.promote()
    scenario.until_produced(20)
    scenario.until_all_go_on()
    pair.demote()


def _replace_by_one_that_is_too_old(pair: ManagedPair, scenario: Scenario) -> None:
    pair.promote()
    scenario.until_produced(MANY_EVENTS)
    scenario.until_all_go_on()
    pair.demote()
    for worker in scenario.workers:
        worker.read_judged(scenario.stream_ids, 10)


FAULTS = [
    Fault("it is flushed (`FLUSHALL`)", _TOPOLOGY, OneServer, _flush),
    Fault("it is killed and starts again with its data", _TOPOLOGY, StoringServer, _start_again),
    Fault("it is killed and starts again empty", _TOPOLOGY, OneServer, _start_empty),
    Fault(
        "it is killed and starts again with old data",
        _TOPOLOGY,
        StoringServer,
        _start_with_old_data,
    ),
    Fault(
        "it is killed and starts again with data that lack more than the producer still has",
        _TOPOLOGY,
        StoringServer,
        _start_with_data_that_are_too_old,
        RESET,
        options=LARGE_EVENTS,
    ),
    Fault("`FAILOVER`, and connections stay open", _TOPOLOGY, ManagedPair, _fail_over),
    Fault("`REPLICAOF`, and connections stay open", _TOPOLOGY, ManagedPair, _replace),
    Fault(
        "a replica is promoted that lacks the last events",
        _TOPOLOGY,
        ManagedPair,
        _replace_by_an_old_one,
    ),
    Fault(
        "a replica is promoted that lacks more than the producer still has",
        _TOPOLOGY,
        ManagedPair,
        _replace_by_one_that_is_too_old,
        RESET,
        options=LARGE_EVENTS,
    ),
]
