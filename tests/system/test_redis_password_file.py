"""A gateway whose Redis password is in a file: it takes another one without a reload."""

import pytest

from flask_sluice.sse import EventParser
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post
from tests.system.redis_server import RedisServer

pytestmark = pytest.mark.slow

OLD, NEW = "the old/password#1", "the new@password?2"


@pytest.fixture
def redis():
    with RedisServer() as redis:
        redis.client.config_set("requirepass", OLD)
        yield redis


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{OLD}\n")
    file.chmod(0o600)
    return file


def kill_connections(redis):
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")


def answer(server, request):
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        return response.status, response.json()


def create(server, tokens):
    request = post("/v1/streams", chat(simulator={"tokens": tokens, "itl_ms": 20}))
    return answer(server, request)


def redis_state(server):
    return answer(server, get("/readyz"))[1]["redis"]


def test_a_password_that_was_exchanged_is_taken_and_running_streams_go_on(redis, password_file):
    settings = {"redis_url": redis.url, "redis_password_file": password_file, "workers": 2}
    with Server(**settings, rate_limit="1000/minute") as server:
        status, body = create(server, tokens=150)
        assert status == 201
        with server.connect() as sock:
            sock.sendall(get(body["url"]))
            reader = Response(sock)
            begun = reader.until(b"id: 5\n")
            redis.client.config_set("requirepass", NEW)
            password_file.write_text(NEW)
            kill_connections(redis)
            wait_until(lambda: create(server, tokens=1)[0] == 201)
            events = EventParser().feed(begun + reader.body())
        assert [int(event.id) for event in events] == list(range(1, len(events) + 1))
        assert not [event for event in events if event.event in ("error", "reset")]
        assert events[-1].event == "done"
        wait_until(lambda: redis_state(server) == "ok")
        assert redis.client.keys("sluice:limits:*")
        assert "Traceback" not in server.log
        assert OLD not in server.log
        assert NEW not in server.log


def test_a_file_that_is_behind_is_told_until_it_has_the_password(redis, password_file):
    with Server(redis_url=redis.url, redis_password_file=password_file) as server:
        assert redis_state(server) == "ok"
        redis.client.config_set("requirepass", NEW)
        kill_connections(redis)
        wait_until(lambda: "invalid username-password pair" in redis_state(server))
        status, body = create(server, tokens=1)
        assert (status, body["error"]["code"]) == (503, "redis_unreachable")
        password_file.write_text("")
        expected = f"there are no credentials: {password_file} has 0 lines with text, takes one"
        wait_until(lambda: redis_state(server).endswith(expected))
        password_file.unlink()
        wait_until(
            lambda: redis_state(server).endswith("cannot be read: No such file or directory")
        )
        password_file.write_text(NEW)
        wait_until(lambda: redis_state(server) == "ok")
        assert create(server, tokens=1)[0] == 201
