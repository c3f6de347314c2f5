"""The log's lines are JSON, whatever a client sends."""

import json
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import RawUpstream, sends, whole
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

PATH = "/v1/chat/completions"
HOSTILE = {
    "another-line": 'a"}\n{"message":"stream ended","outcome":"forged"}',
    "terminal": "\r\n\x00\x1b[2J\x7f\x9b31m",
    "other-line-ends": "\u2028\u2029\x85\x0b\x0c",
    "long": "x" * 100_000,
    "emoji": "\N{GRINNING FACE}",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with RawUpstream(sends(whole(b"{}"))) as upstream, Server(upstream=upstream.url) as server:
        yield server


def end_of(server: Server, request: bytes, **fields: object) -> dict[str, object]:
    """The log line of that request; the server has printed nothing else since."""
    before = server.log
    with server.connect() as sock:
        sock.sendall(request)
        Response(sock).body()
    wait_until(lambda: len(server.log) > len(before))
    (line,) = server.log.removeprefix(before).splitlines()
    assert line.isascii()
    assert line.isprintable()
    return json.loads(line)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_models_name_stays_in_its_field(server, name):
    model = HOSTILE[name]
    line = end_of(server, post(PATH, chat() | {"model": model}))
    assert (line["message"], line["outcome"]) == ("stream ended", "complete")
    assert line["model"] == (model if len(model) < 256 else model[:256] + "...")


@pytest.mark.parametrize("path", ["a%22%7B%22message%22:1%7D", "%FF%ED%A0%80", "%E2%80%A8%5B2J"])
def test_a_path_stays_in_its_field(server, path):
    line = end_of(server, get(f"/v1/{path}"))
    assert line["path"].startswith("/v1/")
    assert line["route"] == "/v1/<path:rest>"


@pytest.mark.parametrize("given", ['"}{', "\xff", "x" * 129])
def test_a_request_id_is_visible_ascii_or_a_new_one(server, given):
    line = end_of(server, get("/v1/models", X_Request_Id=given))
    assert line["request_id"] == given if given == '"}{' else len(line["request_id"]) == 32


def test_a_failure_inside_is_one_line_with_its_traceback():
    with Server("tests.server.foreign_app:app") as server, server.connect() as sock:
        sock.sendall(get("/stream/raises", X_Request_Id="inside"))
        Response(sock).body()
        (line,) = server.logged("the generator failed request_id=inside")
        assert line["level"] == "error"
        assert line["traceback"].startswith("Traceback (most recent call last):\n")
        end = {"request_id": "inside", "code": "internal_error"}
        wait_until(lambda: server.logged("stream ended", **end))
