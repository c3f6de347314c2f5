"""What is in Redis when the streams have expired that failures have disturbed."""

import pytest

from tests.failover.one_server import OneServer
from tests.support.judged_streams.scenario import Scenario, keys_of_sluice
from tests.support.server import wait_until
from tests.system.test_journal_refusals import REFUSALS, Refusal

pytestmark = pytest.mark.slow

LIMITS = {"lease_seconds": 0.9, "history_seconds": 2, "abandon_seconds": 2}
REFUSED = [refusal for refusal in REFUSALS if refusal.name in ("a replica", "full")]
"""The one neither expires keys nor takes a deletion, the other takes deletions only."""


@pytest.fixture
def server():
    with OneServer() as server:
        yield server


def wait_until_only_leases_are_left(server: OneServer) -> None:
    """The workers live, and would renew what they had not forgotten."""
    assert keys_of_sluice(server)
    wait_until(
        lambda: all(key.startswith("sluice:inbox:") for key in keys_of_sluice(server)),
        15,
        lambda: str(keys_of_sluice(server)),
    )


@pytest.mark.parametrize("refusal", REFUSED, ids=str)
def test_nothing_is_left_of_streams_that_end_while_redis_refuses(
    server: OneServer, refusal: Refusal
):
    with Scenario(server.url, **LIMITS) as scenario:
        refusal.begin(server)
        scenario.until_problem(refusal.told)
        scenario.producer.end_streams()
        refusal.end(server)
        wait_until(lambda: all(worker.are_done() for worker in scenario.workers), 20)
        wait_until_only_leases_are_left(server)
        scenario.nothing_is_left([server])


def test_nothing_is_left_of_streams_that_redis_has_lost(server: OneServer):
    with Scenario(server.url, **LIMITS) as scenario:
        server.client.flushall()
        scenario.until_all_go_on()
        server.kill()
        server.start()
        scenario.until_all_go_on()
        scenario.judge()
        wait_until_only_leases_are_left(server)
        scenario.nothing_is_left([server])


@pytest.mark.parametrize("refusal", REFUSED, ids=str)
def test_nothing_is_left_of_streams_whose_producer_dies_while_redis_refuses(
    server: OneServer, refusal: Refusal
):
    with Scenario(server.url, **LIMITS) as scenario:
        refusal.begin(server)
        scenario.until_problem(refusal.told)
        scenario.producer.kill()
        refusal.end(server)
        wait_until(scenario.workers[1].are_done, 20)
        wait_until_only_leases_are_left(server)


def test_nothing_is_left_of_streams_whose_workers_all_die(server: OneServer):
    with Scenario(server.url, **LIMITS) as scenario:
        for worker in scenario.workers:
            worker.kill()
        wait_until(lambda: not keys_of_sluice(server), 15, lambda: str(keys_of_sluice(server)))
