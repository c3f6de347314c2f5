"""docs/redis.md says of a Redis that fails what came out."""

from tests.failover.table import FAULTS, PAGE, generated_part, recorded, render


def test_the_page_has_the_table_that_was_made():
    assert generated_part(PAGE.read_text()) == render(recorded())


def test_each_fault_of_a_topology_is_in_the_table_once():
    ids = [fault.id for fault in FAULTS]
    assert len(set(ids)) == len(ids)
    assert set(ids) == set(recorded())
