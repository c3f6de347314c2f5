"""A stream through each extension: its events come one by one, and it ends when its client leaves."""

import pytest

from tests.extensions.extended_server import HEADERS, new_key
from tests.support.stream import Response, get

ONE_BY_ONE = (
    *("login", "sqlalchemy", "caching", "compress", "compress_streams", "wtf", "cors", "limiter"),
    *("server_side_session", "proxy_fix", "prometheus", "debugger", "babel", "talisman"),
    *("restful", "smorest", "validate", "responses", "otel_flask", "otel_wsgi", "otel_both"),
)


@pytest.mark.parametrize("extension", ONE_BY_ONE)
def test_events_come_one_by_one(server, extension):
    key = new_key()
    with server.reading(f"/{extension}/steps?key={key}") as response:
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in response.headers
        assert b"second" not in response.until(b"data: first\n\n")
        server.go_on(key)
        assert response.body().endswith(b"data: second\n\nevent: done\ndata: third\n\n")
    assert server.outcome(key) == "complete"


@pytest.mark.parametrize("extension", [*ONE_BY_ONE, "profiler", "collects_data"])
def test_a_stream_ends_when_its_client_leaves_and_no_error_is_logged(server, extension):
    key, logged = new_key(), len(server.log)
    with server.connect() as sock:
        sock.sendall(get(f"/{extension}/steps?key={key}", **HEADERS))
        if extension in ONE_BY_ONE:
            Response(sock).until(b"data: first\n\n")
    assert server.outcome(key) == "cancelled"
    server.go_on(key)
    assert "Traceback" not in server.log[logged:]
    assert '"level":"error"' not in server.log[logged:]


@pytest.mark.parametrize("extension", ONE_BY_ONE)
def test_a_failing_generator_ends_in_one_error_event(server, extension):
    _, body = server.answer(f"/{extension}/fails?key={new_key()}")
    assert body.count(b"event: error") == 1
    assert b'"code":"internal_error"' in body
