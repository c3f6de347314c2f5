"""Upstreams are asked in turn, without those that keep failing."""

import pytest

from flask_sluice.gateway.relay.health.health import FAILURES_UNTIL_OUT, OUT_SECONDS
from flask_sluice.gateway.relay.upstream import Upstream, Upstreams


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def upstreams_of(count, clock):
    return Upstreams([Upstream(f"http://host-{n}/v1", 5) for n in range(count)], clock)


@pytest.fixture
def three(clock):
    return upstreams_of(3, clock)


def take_out(upstream, clock):
    for _ in range(FAILURES_UNTIL_OUT):
        upstream.health.begin_request()
        upstream.health.record_failure(clock.now)


def chosen(upstreams, requests):
    """Return how many of these requests each upstream gets, if all are answered."""
    choices = [upstreams.choose([]) for _ in range(requests)]
    return [choices.count(upstream) for upstream in upstreams.all]


def test_requests_go_round(three):
    first_round = [three.choose([]) for _ in range(3)]
    assert set(first_round) == set(three.all)
    assert [three.choose([]) for _ in range(3)] == first_round


def test_each_is_tried_at_most_once_for_a_request(three):
    tried = []
    while (upstream := three.choose(tried)) is not None:
        tried.append(upstream)
    assert sorted(map(id, tried)) == sorted(map(id, three.all))


def test_two_failures_do_not_take_one_out(three, clock):
    for _ in range(FAILURES_UNTIL_OUT - 1):
        three.all[0].health.record_failure(clock.now)
    assert chosen(three, 9) == [3, 3, 3]


def test_failures_count_only_if_no_success_is_between_them(three, clock):
    for _ in range(5):
        three.all[0].health.record_failure(clock.now)
        three.all[0].health.record_failure(clock.now)
        three.all[0].health.record_success()
    assert chosen(three, 9) == [3, 3, 3]


def test_one_that_failed_three_times_running_is_out_for_10_seconds(three, clock):
    take_out(three.all[0], clock)
    assert three.all[0].is_out(clock.now)
    clock.now += OUT_SECONDS - 0.01
    assert chosen(three, 9)[0] == 0


def test_then_it_gets_one_request_on_trial(three, clock):
    take_out(three.all[0], clock)
    clock.now += OUT_SECONDS
    assert not three.all[0].is_out(clock.now)
    three.all[0].health.begin_request()
    assert chosen(three, 9)[0] == 0


def test_a_success_on_trial_brings_it_back(three, clock):
    take_out(three.all[0], clock)
    clock.now += OUT_SECONDS
    three.all[0].health.begin_request()
    three.all[0].health.record_success()
    assert chosen(three, 9) == [3, 3, 3]


def test_a_failure_on_trial_takes_it_out_for_another_10_seconds(three, clock):
    take_out(three.all[0], clock)
    clock.now += OUT_SECONDS
    three.all[0].health.begin_request()
    three.all[0].health.record_failure(clock.now)
    clock.now += OUT_SECONDS - 0.01
    assert chosen(three, 9)[0] == 0
    clock.now += 0.01
    assert not three.all[0].is_out(clock.now)


def test_a_trial_whose_client_left_makes_room_for_another(three, clock):
    take_out(three.all[0], clock)
    clock.now += OUT_SECONDS
    three.all[0].health.begin_request()
    three.all[0].health.record_no_result()
    assert not three.all[0].is_out(clock.now)
    three.all[0].health.begin_request()
    assert three.all[0].is_out(clock.now)


def test_a_request_given_up_is_neither_a_failure_nor_a_success(three, clock):
    upstream = three.all[0]
    upstream.health.record_failure(clock.now)
    upstream.health.record_failure(clock.now)
    upstream.health.record_no_result()
    assert not upstream.is_out(clock.now)
    upstream.health.record_failure(clock.now)
    assert upstream.is_out(clock.now)


def test_only_the_trial_itself_ends_the_trial(three, clock):
    health = three.all[0].health
    sent_before = health.begin_request()
    take_out(three.all[0], clock)
    clock.now += OUT_SECONDS
    trial = health.begin_request()
    health.record_no_result(sent_before)
    assert health.is_out(clock.now)
    health.record_no_result(trial)
    assert not health.is_out(clock.now)


def test_a_request_that_was_let_through_beside_the_trial_does_not_end_it(three, clock):
    health = three.all[0].health
    take_out(three.all[0], clock)
    clock.now += OUT_SECONDS
    health.begin_request()
    health.record_no_result(health.begin_request())
    assert health.is_out(clock.now)


def test_an_upstream_that_answered_nothing_while_a_request_waited_is_out_at_once(three, clock):
    health = three.all[0].health
    health.record_failure(clock.now, health.begin_request(), was_silent=True)
    assert health.is_out(clock.now)
    assert chosen(three, 9)[0] == 0


def test_an_upstream_that_answered_others_meanwhile_was_only_slow(three, clock):
    health = three.all[0].health
    slow, other = health.begin_request(), health.begin_request()
    health.record_success(other)
    health.record_failure(clock.now, slow, was_silent=True)
    assert not health.is_out(clock.now)


def test_health_requests_take_it_out_after_three_failures_and_one_success_brings_it_back(
    three, clock
):
    health = three.all[0].health
    for _ in range(FAILURES_UNTIL_OUT):
        assert health.problem(clock.now) is None
        health.record_check("status 503")
    assert health.problem(clock.now) == "its health request fails: status 503"
    clock.now += 100 * OUT_SECONDS
    assert chosen(three, 9)[0] == 0
    health.record_check(None)
    assert health.problem(clock.now) is None
    assert chosen(three, 9) == [3, 3, 3]


def test_what_failed_while_its_health_requests_failed_is_forgotten_with_them(three, clock):
    health = three.all[0].health
    for _ in range(FAILURES_UNTIL_OUT):
        health.record_check("no answer")
    take_out(three.all[0], clock)
    health.record_check(None)
    assert not health.is_out(clock.now)


def test_requests_that_fail_take_it_out_although_its_health_requests_do_not(three, clock):
    health = three.all[0].health
    take_out(three.all[0], clock)
    health.record_check(None)
    assert health.is_out(clock.now)
    assert health.problem(clock.now) == "it has failed three times running"


def test_if_all_are_out_they_are_tried_as_if_none_were(three, clock):
    for upstream in three.all:
        take_out(upstream, clock)
    tried = []
    while (upstream := three.choose(tried)) is not None:
        tried.append(upstream)
    assert len(tried) == 3


def test_the_only_upstream_is_always_tried(clock):
    alone = upstreams_of(1, clock)
    take_out(alone.all[0], clock)
    assert alone.choose([]) is alone.all[0]
    assert alone.choose(alone.all) is None


def labels_of(*urls):
    return [upstream.label for upstream in Upstreams.at(urls, 5).all]


def test_an_upstream_is_labelled_with_its_host():
    urls = ["https://api.example.com/v1", "http://[::1]:8000/v1", "http://[::1]:8001/v1"]
    assert labels_of(*urls) == ["api.example.com", "[::1]:8000", "[::1]:8001"]


def test_upstreams_on_one_host_are_labelled_with_their_urls():
    urls = ["http://h/a/v1", "http://h/b/v1"]
    assert labels_of("http://other/v1", *urls) == ["other", *urls]
