"""The benchmarks' own parts count right. What they measure is for ``make bench``."""

from collections.abc import Iterator

import pytest

from benchmarks import processes
from benchmarks.processes import Process


@pytest.fixture(scope="module")
def upstream() -> Iterator[Process]:
    with processes.started(processes.upstream) as process:
        yield process


@pytest.mark.parametrize("model", ["7x0", "7x1"], ids=["flat-out", "paced"])
def test_the_load_counts_what_the_upstream_sends(upstream, model):
    result = processes.load(upstream, model, concurrent=3, answers=8)
    assert (result.answers, result.events, result.errors) == (8, 8 * 7, 0)
    assert len(result.first_events) == 8
    assert 0 < min(result.first_events) <= max(result.first_events) < result.duration


def test_a_relayed_answer_counts_the_same(upstream):
    with processes.started(processes.sluice(upstream.port)) as relay:
        processes.load(relay, "1x0", concurrent=1, answers=1)  # The start is not to be counted.
        before = relay.cpu_seconds()
        result = processes.load(relay, "7x0", concurrent=3, answers=8)
        assert (result.answers, result.events, result.errors) == (8, 8 * 7, 0)
        assert relay.cpu_seconds() - before > 0


def test_refused_answers_are_errors(upstream):
    with processes.started(processes.sluice(None)) as simulator:
        result = processes.load(simulator, "7x0", concurrent=2, answers=2)
    assert result.errors == 2
