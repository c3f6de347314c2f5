"""When the next connection is due."""

import random

import pytest

from flask_sluice.client import Reconnect
from flask_sluice.client import response as response_module
from flask_sluice.client.response import parse_retry_after


def test_nobody_comes_back_before_what_the_server_asked_for(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)
    policy = Reconnect()
    assert policy.delay_seconds(1, 2000, None) == 2
    assert policy.delay_seconds(1, 2000, 7.5) == 7.5
    assert policy.delay_seconds(1, None, 7.5) == 7.5
    assert policy.delay_seconds(1, None, None) == 0


def test_the_jitter_is_full_and_its_window_doubles_up_to_the_cap(monkeypatch):
    windows = []
    monkeypatch.setattr(random, "uniform", lambda *window: windows.append(window) or 0)
    policy = Reconnect(first_window_seconds=1, longest_window_seconds=5)
    for attempt in (1, 2, 3, 4, 10**6):
        policy.delay_seconds(attempt, None, None)
    policy.delay_seconds(1, 3000, None)
    policy.delay_seconds(1, 0, None)
    assert windows == [(0, 1), (0, 2), (0, 4), (0, 5), (0, 5), (0, 3), (0, 0.1)]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Fri, 13 Feb 2009 23:31:40 GMT", 10),
        ("Friday, 13-Feb-09 23:31:40 GMT", 10),
        ("Fri, 13 Feb 2009 23:31:20 GMT", 0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(monkeypatch, value, seconds):
    monkeypatch.setattr(response_module.time, "time", lambda: 1234567890.0)
    assert parse_retry_after(value) == seconds
