"""The rate limit's window in memory. Counting in Redis is tested with a real Redis."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.gateway.request.rate_limits import MemoryWindow

START = 1_200_000_000.0
"""A time at which windows of all lengths in these tests begin."""


def test_as_many_as_the_limit_are_accepted():
    window = MemoryWindow(3, 60)
    assert [window.count("a", START) for _ in range(3)] == [0, 0, 0]
    assert window.count("a", START + 20) == 40


def test_clients_are_counted_apart():
    window = MemoryWindow(1, 60)
    assert window.count("a", START) == 0
    assert window.count("b", START) == 0


def test_no_more_are_accepted_around_the_end_of_a_window_than_in_one():
    window = MemoryWindow(60, 60)
    taken = [window.count("a", START + 59) for _ in range(60)]
    taken += [window.count("a", START + 60) for _ in range(60)]
    assert taken.count(0) == 60


def test_the_window_before_counts_for_less_and_less():
    window = MemoryWindow(60, 60)
    for _ in range(60):
        window.count("a", START)
    halfway = [window.count("a", START + 90.5) for _ in range(60)]
    assert halfway.count(0) == 31


def test_after_two_windows_nothing_is_remembered():
    window = MemoryWindow(2, 60)
    for client in map(str, range(1000)):
        window.count(client, START)
    assert window.count("another", START + 120) == 0
    assert len(window._counts) + len(window._counts_before) == 1


def test_a_clock_that_is_set_back_does_no_harm():
    window = MemoryWindow(1, 60)
    assert window.count("a", START + 600) == 0
    assert window.count("a", START) == 0
    assert window.count("a", START) > 0


@given(
    amount=st.integers(1, 50),
    seconds=st.sampled_from([1, 60, 86_400]),
    steps=st.lists(st.floats(0, 0.9), min_size=1, max_size=80),
)
def test_a_client_that_waits_as_long_as_told_is_accepted(amount, seconds, steps):
    window = MemoryWindow(amount, seconds)
    now = START
    for step in steps:
        now += step * seconds / amount
        wait = window.count("a", now)
        assert 0 <= wait <= seconds
        if wait:
            now += wait + 0.002
            assert window.count("a", now) == 0


@pytest.mark.parametrize("amount", [1, 7, 60])
def test_a_client_that_asks_all_the_time_gets_as_many_as_the_limit(amount):
    window = MemoryWindow(amount, 60)
    random.seed(amount)
    now, taken = START, 0
    while now < START + 6000:
        taken += not window.count("a", now)
        now += random.random()
    assert 85 * amount <= taken <= 101 * amount
