"""The examples of the pages on kept streams and channels, run as they are written.

Each page's examples are unpacked by name, so that one more fails here until there is a test of it.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from flask_sluice import Channels, Streams
from flask_sluice.sse import EventParser
from tests.support.readme import PAGES_OF_EXTENSION, code_blocks
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, ask, get, post
from tests.system.journal_worker import new_stream_id
from tests.system.redis_server import RedisServer
from tests.unit.channels import Reader

_CHANNELS, _FROM_FLASK_SSE, _KEPT_STREAMS = (
    code_blocks("python", (ROOT / page).read_text()) for page in PAGES_OF_EXTENSION
)
CHANNELS_APP, CHANNELS_SCRIPT, PRESENCE = _CHANNELS
SSE_MODULE, APP_WITH_SSE_MODULE = _FROM_FLASK_SSE
STREAMS_APP, TASK = _KEPT_STREAMS
APPS = """
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
import channels, moved, streams

each = {f"/{module.__name__}": module.app for module in (channels, moved, streams)}
app = DispatcherMiddleware(Flask(__name__), each)
"""
WORDS = ['{"word":"Why"}', '{"word":"not"}', "{}"]
REDIS_OF_EXAMPLES = "redis://127.0.0.1:6379/0"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="module")
def server(redis, tmp_path_factory) -> Iterator[Server]:
    """The apps of the pages, each below its name."""
    folder = tmp_path_factory.mktemp("apps")
    modules = {"channels": CHANNELS_APP, "streams": STREAMS_APP, "moved": APP_WITH_SSE_MODULE}
    for name, code in {**modules, "sse": SSE_MODULE, "apps": APPS}.items():
        (folder / f"{name}.py").write_text(code)
    with Server(
        "apps:app",
        configuration="python:flask_sluice.server.settings",
        folder=folder,
        environment={"REDIS_URL": redis.url},
    ) as server:
        yield server


def test_the_app_with_channels_sends_its_readers_what_is_published(server):
    with server.connect() as sock:
        sock.sendall(get("/channels/notifications"))
        response = Response(sock)
        # The id is sent when the reader is there.
        response.until(b"id: ")
        assert ask(server, post("/channels/news", {"title": "It works"}))[0].status == 204
        assert b"event: news\ndata: " in response.until(b'data: {"title":"It works"}\n\n')


def test_the_script_publishes_to_a_channel(redis):
    channels = Channels(redis.url)
    before = channels.last_id("user:7")
    names = run(CHANNELS_SCRIPT, redis)
    reader = Reader(channels, "user:7", last_event_id=before)
    assert [(event.event, event.data) for event in reader.events] == [("job", '{"kind":"done"}')]
    reader.leave()
    channels.close()
    names["channels"].close()


def test_the_functions_are_called_when_an_owner_comes_and_leaves(redis, capsys):
    names = run(PRESENCE, redis)
    reader = Reader(names["channels"], "lobby", owner="ada")
    reader.leave()
    printed = []

    def are_told():
        printed.append(capsys.readouterr().out)
        return "".join(printed) == "ada is in lobby\nada has left lobby\n"

    wait_until(are_told)
    names["channels"].close()


def test_the_app_with_kept_streams_starts_reads_and_stops_them(server):
    created, body = ask(server, post("/streams/answers", {"question": "Why not"}))
    assert created.status == 202
    path = f"/streams/answers/{json.loads(body)['id']}"
    assert ask(server, get(path))[0].status == 404
    cookie = created.headers["set-cookie"].partition(";")[0]
    _, events = ask(server, get(path, cookie=cookie))
    assert [event.data for event in EventParser().feed(events)] == WORDS
    newest = json.loads(ask(server, get("/streams/newest", cookie=cookie))[1])
    assert (newest["state"], newest["last_id"]) == ("complete", 3)
    assert ask(server, delete(path, cookie=cookie))[0].status == 204


def test_the_task_publishes_to_a_stream_that_others_read(redis):
    names = run(TASK, redis)
    streams = Streams(redis.url)
    stream_id = new_stream_id()
    names["research"](stream_id, "Why not", "ada")
    status = streams.status(stream_id, owner="ada")
    assert (status.state, status.last_id) == ("complete", 4)
    streams.close()
    names["streams"].close()


def test_the_app_that_was_moved_from_flask_sse_publishes_and_streams(server):
    with server.connect() as sock:
        sock.sendall(get("/moved/stream?channel=users.social"))
        response = Response(sock)
        response.until(b"id: ")
        assert ask(server, post("/moved/hello", {}))[1] == b"Message sent!"
        assert b"event: greeting\n" in response.until(b'data: {"message": "Hello!"}\n\n')
        assert ask(server, get("/moved/stream?channel=salaries"))[0].status == 403


def delete(path: str, **headers: str) -> bytes:
    return get(path, **headers).replace(b"GET", b"DELETE", 1)


def run(code: str, redis: RedisServer) -> dict[str, Any]:
    """Return the names that an example defines."""
    names: dict[str, Any] = {}
    exec(code.replace(REDIS_OF_EXAMPLES, redis.url), names)
    return names
