"""What forty readers get while nodes of a cluster fail."""

import pytest

from tests.failover.cluster_faults import FAULTS
from tests.failover.faults import Fault
from tests.failover.refusal_faults import OF_CLUSTERS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", [*FAULTS, *OF_CLUSTERS], ids=lambda fault: fault.id)
def test_readers_get_what_the_table_says(fault: Fault):
    fault.run()
