"""When the next connection is due."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.text(st.characters(max_codepoint=255)))
def test_no_retry_after_raises(value):
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds <= 86_400


@given(
    st.lists(
        st.sampled_from(
            [
                "Fri,",
                "13",
                "Feb",
                "0",
                "-1",
                "9" * 20,
                "9" * 5000,
                "23:31:40",
                "99:",
                "GMT",
                "+9999",
            ]
        )
    )
)
def test_no_retry_after_that_is_nearly_a_date_raises(words):
    parse_retry_after(" ".join(words))


@pytest.mark.parametrize("retry_ms", [86_400_001, 10**400, 10**4299])
def test_a_server_can_ask_for_a_day_at_most(monkeypatch, retry_ms):
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)
    assert Reconnect().delay_seconds(1, retry_ms, None) == 86_400
    assert Reconnect().delay_seconds(1, None, float(10**12)) == 86_400


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
        ("86401", 86_400),
        ("9" * 400, 86_400),
        ("9" * 5000, 86_400),
        ("Fri, 13 Feb 9999 23:31:40 GMT", 86_400),
        ("Fri, 13 Feb 100000000000000000000 23:31:40 GMT", None),
        ("Fri, 13 Feb 0001 23:31:40 +9999999999", None),
        ("Fri, 13 Feb 2009 99999999999999999999:31:40 GMT", None),
        ("Sat, 00 Jan 0000 00:00:00 GMT", None),
        ("\u00b2", None),
        ("1.5", None),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(monkeypatch, value, seconds):
    monkeypatch.setattr(response_module.time, "time", lambda: 1234567890.0)
    assert parse_retry_after(value) == seconds
