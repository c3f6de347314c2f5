"""Faults of a primary with two replicas and three sentinels."""

from functools import partial

from tests.failover.faults import LARGE_EVENTS, MANY_EVENTS, RESET, Fault
from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import SentinelServers
from tests.support.server import wait_until

_TOPOLOGY = "Sentinel"
_DEMOTED_SECONDS = 20


def _kill_and_start(servers: SentinelServers, scenario: Scenario) -> None:
    old = servers.primary
    servers.kill_primary()
    scenario.until_all_go_on()
    old.start()
    wait_until(lambda: old.role == "slave" and old.is_in_sync, _DEMOTED_SECONDS)


def _hang(servers: SentinelServers, scenario: Scenario) -> None:
    old = servers.primary
    servers.suspend_primary()
    scenario.until_produced(20)
    old.resume()
    wait_until(lambda: old.role == "slave" and old.is_in_sync, _DEMOTED_SECONDS)


def _failover(servers: SentinelServers, scenario: Scenario) -> None:
    """The old primary takes commands for seconds after the sentinels have named the new one."""
    old = servers.primary
    servers.failover()
    wait_until(lambda: old.role == "slave" and old.is_in_sync, _DEMOTED_SECONDS)


def _end_a_sentinel(servers: SentinelServers, scenario: Scenario) -> None:
    servers.sentinels[0].kill()
    servers.kill_primary()


def _promote_an_old_one(lost_events: int):
    def disturb(servers: SentinelServers, scenario: Scenario) -> None:
        """The replicas, which store what they get, are away while the last events are written."""
        replicas = servers.replicas
        for replica in replicas:
            replica.terminate()
        scenario.until_produced(lost_events)
        scenario.until_all_go_on()
        old = servers.primary
        old.kill()
        for replica in replicas:
            replica.start()
        wait_until(
            lambda: servers.primary is not old and servers.primary.role == "master",
            _DEMOTED_SECONDS,
            lambda: servers.sentinels[0].log,
        )
        scenario.read_from_the_beginning()

    return disturb


_STORING = partial(SentinelServers, "--appendonly", "yes", "--replica-serve-stale-data", "yes")

FAULTS = [
    Fault(
        "the primary is killed, is replaced, and comes back as a replica",
        _TOPOLOGY,
        SentinelServers,
        _kill_and_start,
    ),
    Fault("the primary hangs, is replaced, and goes on", _TOPOLOGY, SentinelServers, _hang),
    Fault("a primary that works is replaced", _TOPOLOGY, SentinelServers, _failover),
    Fault(
        "a sentinel is killed, and then the primary", _TOPOLOGY, SentinelServers, _end_a_sentinel
    ),
    Fault(
        "a replica is promoted that lacks the last events",
        _TOPOLOGY,
        _STORING,
        _promote_an_old_one(30),
    ),
    Fault(
        "a replica is promoted that lacks more than the producer still has",
        _TOPOLOGY,
        _STORING,
        _promote_an_old_one(MANY_EVENTS),
        RESET,
        options=LARGE_EVENTS,
    ),
]
