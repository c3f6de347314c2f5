"""Faults of a primary with two replicas and three sentinels."""

from tests.failover.faults import Fault
from tests.support.judged_streams.scenario import Scenario
from tests.support.redis_servers import SentinelServers
from tests.support.server import wait_until

_TOPOLOGY = "Sentinel"
_DEMOTED_SECONDS = 20


def _kill(servers: SentinelServers, scenario: Scenario) -> None:
    servers.kill_primary()


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


FAULTS = [
    Fault("the primary is killed, a replica takes its place", _TOPOLOGY, SentinelServers, _kill),
    Fault("the primary is killed and comes back", _TOPOLOGY, SentinelServers, _kill_and_start),
    Fault(
        "the primary hangs, a replica takes its place, and the primary goes on",
        _TOPOLOGY,
        SentinelServers,
        _hang,
    ),
    Fault(
        "a replica takes the place of a primary that works", _TOPOLOGY, SentinelServers, _failover
    ),
    Fault(
        "a sentinel is killed, and then the primary", _TOPOLOGY, SentinelServers, _end_a_sentinel
    ),
]
