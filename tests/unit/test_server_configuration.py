"""How long streams may go on, from gunicorn's ``graceful_timeout`` and the environment."""

import pytest

from flask_sluice.server.drain_time import drain_seconds_of, seconds_from_environment

VARIABLE = "SLUICE_DRAIN_SECONDS"


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize(("graceful_timeout", "seconds"), [(130, 120), (30, 20), (15, 5), (3, 1)])
def test_a_drain_ends_before_gunicorn_kills(graceful_timeout, seconds):
    assert drain_seconds_of(graceful_timeout) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("0.5", 0.5), ("20", 20), ("21", 20), ("600", 20)])
def test_the_environment_makes_a_drain_shorter_but_not_longer(monkeypatch, text, seconds):
    monkeypatch.setenv(VARIABLE, text)
    assert drain_seconds_of(30) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf"])
def test_a_value_that_is_no_time_ends_the_start_and_names_the_variable(monkeypatch, text):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(SystemExit, match=f"sluice: {VARIABLE}: got '{text}', takes a number"):
        seconds_from_environment(VARIABLE, 120)
