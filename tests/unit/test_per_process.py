"""What the streams with threads of one process share, and a fork parts."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.sse_response import sse_response
from flask_sluice.stream.threads import open_streams
from flask_sluice.stream.threads.per_process import PerProcess
from tests.unit.wsgi_server import A, Threads, events_in


@pytest.fixture
def kind():
    return Threads


def waiting(context):
    yield A
    context.wait(None)


def test_a_forked_process_has_streams_of_its_own(server):
    """As in a server that forks its workers after it has streamed, or a view that forks while streams run."""
    context = StreamContext()
    server.app.add_url_rule("/", "parent", lambda: sse_response(waiting(context), context=context))
    server.app.add_url_rule("/child", "child", lambda: sse_response([A]))
    call = server.get()
    call.until(A)
    with open_streams.open_streams().change:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child = server.get("/child")
                body = child.rest()
                child.close()
                status = 0 if body.endswith(A) and len(open_streams.open_streams()) == 0 else 2
            finally:
                os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    context.stop_generating()
    assert events_in(call.rest())[-1][0] == "error"
    call.close()


def test_one_object_is_made_for_each_process():
    made = []
    objects = PerProcess(lambda: made.append(1) or object())
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: objects(), range(50)))) == 1
    assert made == [1]
