"""What forty readers get while one server fails."""

import pytest

from tests.failover import loss_faults, network_faults, refusal_faults
from tests.failover.faults import Fault

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "fault",
    [*loss_faults.FAULTS, *network_faults.FAULTS, *refusal_faults.FAULTS],
    ids=lambda fault: fault.id,
)
def test_readers_get_what_the_table_says(fault: Fault):
    fault.run()
