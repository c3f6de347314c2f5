"""The table of clients in docs/simulator.md says what the clients do."""

import pytest

from tests.sdks.field.table import read_all, table, table_of_page


@pytest.fixture(scope="module")
def found():
    return read_all()


def test_every_client_reads_an_answer_without_a_fault(found):
    assert {name: words["whole"] for name, words in found.items()} == dict.fromkeys(found, "fine")


def test_the_page_says_what_each_client_makes_of_each_fault(found):
    # python -m tests.sdks.field.table writes it anew.
    assert table(found) == table_of_page()
