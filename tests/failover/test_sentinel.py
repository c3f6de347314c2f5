"""What forty readers get while a primary that sentinels watch fails."""

import pytest

from tests.failover.faults import Fault
from tests.failover.refusal_faults import OF_SENTINELS
from tests.failover.sentinel_faults import FAULTS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", [*FAULTS, *OF_SENTINELS], ids=lambda fault: fault.id)
def test_readers_get_what_the_table_says(fault: Fault):
    fault.run()
