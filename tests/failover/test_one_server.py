"""What forty readers get while one server fails."""

import pytest

from tests.failover import loss_faults, network_faults, refusal_faults
from tests.failover.faults import Fault
from tests.failover.one_server import ManagedPair
from tests.support.judged_streams.judgement import Reading
from tests.support.judged_streams.scenario import Scenario
from tests.support.server import wait_until

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2.0


@pytest.mark.parametrize(
    "fault",
    [*loss_faults.FAULTS, *network_faults.FAULTS, *refusal_faults.FAULTS],
    ids=lambda fault: fault.id,
)
def test_readers_get_what_the_table_says(fault: Fault):
    fault.run()


def test_what_an_old_replica_and_a_dead_producer_have_lost_is_told_to_each_reader():
    """They have events that no process and no Redis has any more."""
    pair = ManagedPair()
    scenario = Scenario(pair.url, lease_seconds=LEASE_SECONDS)
    with pair, scenario:
        pair.promote()
        scenario.until_produced(20)
        scenario.until_all_go_on()
        scenario.producer.kill()
        pair.demote()
        reading = scenario.workers[1]
        wait_until(reading.are_done, scenario.told_seconds, lambda: str(reading.readings()))
        readings = [Reading(**each) for each in reading.readings()]
        assert [each.faults(None) for each in readings] == [[]] * len(readings)
        assert {each.outcome for each in readings} == {"error"}
