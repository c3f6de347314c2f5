"""The context: how a generator hears that its answer is not wanted any more."""

import gevent

from flask_sluice.stream.context import StreamContext
from tests.unit.greenlets import TINY_SECONDS, run_all, wait_until


def test_a_wait_ends_after_its_seconds():
    assert StreamContext().wait(TINY_SECONDS) is False


def test_a_wait_ends_at_once_when_the_stream_is_stopped():
    context = StreamContext()
    waiting = gevent.spawn(context.wait, None)
    run_all()
    assert not waiting.dead
    context.stop_generating()
    wait_until(lambda: waiting.dead)
    assert waiting.value is True


def test_a_wait_is_over_before_it_begins_if_the_stream_was_stopped():
    context = StreamContext()
    context.stop_generating()
    assert context.wait(None) is True


def test_a_callback_runs_once_when_the_stream_is_stopped():
    calls = []
    context = StreamContext()
    context.on_stop(lambda: calls.append("stopped"))
    assert calls == []
    context.stop_generating()
    context.stop_generating()
    assert calls == ["stopped"]


def test_a_callback_runs_at_once_if_the_stream_was_stopped():
    calls = []
    context = StreamContext()
    context.stop_generating()
    context.on_stop(lambda: calls.append("stopped"))
    assert calls == ["stopped"]


def test_a_callback_that_fails_is_logged_and_keeps_no_other_from_running(caplog):
    calls = []
    context = StreamContext("request-7")
    context.on_stop(lambda: 1 / 0)
    context.on_stop(lambda: calls.append("stopped"))
    context.stop_generating()
    assert calls == ["stopped"]
    assert "request-7" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_each_context_has_a_request_id_of_its_own_unless_one_is_given():
    assert StreamContext().request_id != StreamContext().request_id
    assert StreamContext("request-7").request_id == "request-7"
