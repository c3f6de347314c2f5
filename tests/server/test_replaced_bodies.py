"""A stream ends at once when its body can no longer be read: hooks and middleware may answer with another one.

The client does not leave in these tests: its connection stays open.
"""

import itertools
from collections.abc import Iterator

import pytest

from tests.server.observer import Observer
from tests.server.replacing_app import HOOKS, MIDDLEWARE
from tests.support.server import Server
from tests.support.stream import Response, get

WRAPPERS = {"wrap", "wrap_by_middleware"}
_keys = (str(number) for number in itertools.count())


@pytest.fixture(scope="module", params=["ours", "gunicorn's"])
def server(request, tmp_path_factory) -> Iterator[Server]:
    """Under our worker, and under gunicorn's own, which calls nothing of ours at a request's end."""
    empty = tmp_path_factory.mktemp("gunicorn") / "empty.py"
    empty.write_text("")
    configuration = "gunicorn.conf.py" if request.param == "ours" else str(empty)
    arguments = () if request.param == "ours" else ("-k", "gevent")
    with Server(
        "tests.server.replacing_app:app", configuration=configuration, arguments=arguments
    ) as server:
        yield server


@pytest.mark.parametrize("how", sorted({*HOOKS, *MIDDLEWARE} - WRAPPERS))
def test_a_stream_ends_whose_body_is_replaced(server, how):
    key = next(_keys)
    with server.connect() as sock:
        sock.sendall(get(f"/stream/{key}?how={how}", If_None_Match='"same"'))
        Response(sock)
        assert Observer(server).ended_at(key)


def test_a_stream_ends_that_a_head_request_has_begun(server):
    key = next(_keys)
    with server.connect() as sock:
        sock.sendall(get(f"/stream/{key}").replace(b"GET", b"HEAD", 1))
        assert Response(sock).status == 200
        assert Observer(server).ended_at(key)


@pytest.mark.parametrize("how", sorted(WRAPPERS))
def test_a_stream_ends_whose_wrapper_does_not_close_it(server, how):
    key = next(_keys)
    with server.connect() as sock:
        sock.sendall(get(f"/stream/{key}?how={how}"))
        assert b"token" in Response(sock).until(b"token")
    assert Observer(server).ended_at(key)


@pytest.mark.parametrize("how", sorted(WRAPPERS))
def test_a_stream_whose_body_is_wrapped_goes_on_while_it_is_read(server, how):
    with server.connect() as sock:
        sock.sendall(get(f"/stream/{next(_keys)}?how={how}"))
        response = Response(sock)
        for _ in range(20):
            response.until(b"token")
