"""/v1/streams/{id}/status: how an answer is doing, for a page that is loaded again."""

import contextlib
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from flask_sluice import Event, Streams
from tests.support.server import Server, wait_until
from tests.support.stream import ask, chat, get, post

PATH = "/v1/streams"
KEY = "a-key-for-these-tests"


@pytest.fixture(scope="module", params=["memory", "redis"])
def server(request) -> Iterator[Server]:
    """Kept in memory, and in Redis by two workers."""
    if request.param == "redis":
        redis = request.getfixturevalue("redis")
        with Server(workers=2, redis_url=redis.url) as server:
            yield server
    else:
        with Server() as server:
            yield server


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    with Server(api_keys=KEY) as server:
        yield server


def start(server: Server, headers: dict[str, str] | None = None, **simulator) -> dict:
    """Starts an answer; returns what the response says of its stream."""
    body = chat(stream=False, simulator={"tokens": 20, "itl_ms": 1, **simulator})
    response, answer = ask(server, post(PATH, body, **(headers or {})))
    assert response.status == 201, answer
    return json.loads(answer)


def status_url(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=f"{parts.path}/status").geturl()


def status(server: Server, stream: dict) -> dict:
    response, body = ask(server, get(status_url(stream["url"])))
    assert response.status == 200, body
    return json.loads(body)


def until_ended(server: Server, stream: dict) -> dict:
    def ended():
        found = status(server, stream)
        return None if found["state"] == "running" else found

    return wait_until(ended, 20)


def refusal(server: Server, request: bytes) -> tuple[int, str]:
    response, body = ask(server, request)
    return response.status, json.loads(body)["error"]["code"]


def stop(server: Server, stream: dict) -> None:
    response, _ = ask(server, get(stream["stop_url"]).replace(b"GET", b"DELETE", 1))
    assert response.status == 204


def test_a_running_answer_says_how_far_it_is(server):
    stream = start(server, itl_ms=20, tokens=500)
    found = wait_until(lambda: (now := status(server, stream))["last_id"] > 3 and now)
    assert found.keys() == {"id", "state", "last_id", "created_at", "expires_at", "error"}
    assert (found["id"], found["state"]) == (stream["id"], "running")
    assert abs(found["created_at"] - time.time()) < 20
    assert (found["expires_at"], found["error"]) == (None, None)
    stop(server, stream)


def test_a_finished_answer_says_how_long_it_is_kept(server):
    found = until_ended(server, start(server))
    assert (found["state"], found["error"]) == ("complete", None)
    assert 250 < found["expires_at"] - time.time() <= 301


def test_a_stopped_answer_is_stopped(server):
    stream = start(server, itl_ms=20, tokens=500)
    stop(server, stream)
    found = until_ended(server, stream)
    assert (found["state"], found["error"]["code"]) == ("stopped", "stopped")


def test_an_answer_that_failed_says_why(server):
    found = until_ended(server, start(server, fault={"kind": "error_event", "after": 5}))
    assert found["state"] == "error"
    assert found["error"].keys() == {"message", "type", "param", "code"}
    assert found["error"]["message"]


@pytest.mark.parametrize("stream_id", ["unknown", "a" * 22])
def test_an_unknown_answer_is_a_404(server, stream_id):
    assert refusal(server, get(f"{PATH}/{stream_id}/status")) == (404, "not_found")


@pytest.mark.parametrize("method", [b"POST", b"DELETE"])
def test_it_can_only_be_read(server, method):
    url = status_url(start(server)["url"])
    response, _ = ask(server, get(url).replace(b"GET", method, 1))
    assert response.status == 405


class TestWithKeys:
    def test_a_key_is_needed(self, locked):
        stream = start(locked, {"Authorization": f"Bearer {KEY}"})
        url = f"{PATH}/{stream['id']}/status"
        assert refusal(locked, get(url)) == (401, "invalid_api_key")
        assert ask(locked, get(url, Authorization=f"Bearer {KEY}"))[0].status == 200

    @pytest.mark.parametrize("name", ["url", "stop_url"])
    def test_the_ticket_of_the_stream_stands_for_it(self, locked, name):
        stream = start(locked, {"Authorization": f"Bearer {KEY}"})
        response, body = ask(locked, get(status_url(stream[name])))
        assert (response.status, json.loads(body)["id"]) == (200, stream["id"])

    def test_the_ticket_of_another_stream_does_not(self, locked):
        one, other = (start(locked, {"Authorization": f"Bearer {KEY}"}) for _ in range(2))
        url = status_url(one["url"]).replace(one["id"], other["id"], 1)
        assert refusal(locked, get(url)) == (401, "invalid_api_key")


@pytest.mark.slow
def test_a_stream_of_an_app_in_the_same_redis_is_not_the_gateways_to_read(redis):
    """Who may read it is for the app's views to say, even to somebody who knows its id."""
    with (
        Server(workers=2, redis_url=redis.url) as server,
        contextlib.closing(Streams(redis.url)) as streams,
        streams.create(owner="7") as stream,
    ):
        stream.publish(Event(data="x"))
        url = f"{PATH}/{stream.id}"
        delete = post(url, b"").replace(b"POST", b"DELETE", 1)
        asked = [get(url), get(f"{url}/status"), delete]
        assert [ask(server, each)[0].status for each in asked] == [404] * 3
        assert not stream.is_stopped
