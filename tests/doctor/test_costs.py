"""What an examination of a model's answers may cost its user."""

import re

import pytest

from flask_sluice.doctor import Depth, examine
from flask_sluice.doctor.examination import Examination
from tests.doctor.zoo.origins.script import path

CHAT = "/v1/chat/completions"


@pytest.fixture
def answers(monkeypatch) -> list:
    """The requests for answers, while the origin counts as a server of somebody else's."""
    asked = []
    send = Examination.open

    def counted(examination, request, **options):
        if request.method == "POST" and b"max_tokens" in (request.body or b""):
            asked.append(request.body)
        return send(examination, request, **options)

    monkeypatch.setattr("flask_sluice.doctor.costs.is_private", lambda request: False)
    monkeypatch.setattr(Examination, "open", counted)
    return asked


@pytest.mark.parametrize("depth", [Depth.QUICK, Depth.USUAL])
@pytest.mark.parametrize(
    "script",
    [{}, {"coding": "gzip-held", "events": 40}, {"whole": 1, "events": 20}],
    ids=["sound", "gzip", "whole"],
)
def test_no_more_is_asked_for_than_was_said_before(origin, answers, depth, script):
    said = []

    def on_cost(sentence):
        assert answers == []
        said.append(sentence)

    options = {"depth": depth, "origin": "https://page.test", "metrics": f"{origin}/metrics"}
    examine(origin + path(CHAT, **script), on_cost=on_cost, **options)
    most, tokens = map(int, re.findall(r"up to (\d+)", said[0]))
    assert 0 < len(answers) <= most
    assert all(f'"max_tokens": {tokens}'.encode() in body for body in answers)


def test_a_server_of_ones_own_costs_nothing(origin):
    said = []
    examine(origin + CHAT, depth=Depth.QUICK, groups=("headers",), on_cost=said.append)
    assert said == []
