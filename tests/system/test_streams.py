"""/v1/streams: an answer is generated once, and read by anybody, at any time, from any event on."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from flask_sluice.sse import EventParser, ReceivedEvent
from tests.support.server import Server, wait_until
from tests.support.stream import Response, ask, chat, get, post
from tests.system.redis_server import RedisServer

PATH = "/v1/streams"
TOKENS = 20


@pytest.fixture(scope="module", params=["memory", "redis", "relay"])
def server(request) -> Iterator[Server]:
    """The three ways there are: kept in memory, kept in Redis by two workers, and an upstream's answers."""
    if request.param == "redis":
        redis = request.getfixturevalue("redis")
        with Server(workers=2, redis_url=redis.url) as server:
            yield server
    elif request.param == "relay":
        with Server() as upstream, Server(upstream=f"{upstream.url}/v1") as server:
            yield server
    else:
        with Server() as server:
            yield server


def start(server: Server, **simulator) -> str:
    """Starts an answer; returns the URL of its stream."""
    simulator = {"tokens": TOKENS, "itl_ms": 1, **simulator}
    response, body = ask(server, post(PATH, chat(stream=False, simulator=simulator)))
    assert response.status == 201, body
    return json.loads(body)["url"]


def read(server: Server, url: str, after: int = 0, count: int | None = None) -> list[ReceivedEvent]:
    """The events after one, as many as wanted, or all to the end of the body."""
    events: list[ReceivedEvent] = []
    with server.connect() as sock:
        sock.sendall(get(url, **({"Last_Event_ID": str(after)} if after else {})))
        response = Response(sock)
        if response.status == 204:
            return []
        assert response.status == 200, response.body()
        parser = EventParser()
        while (count is None or len(events) < count) and (chunk := response.chunk()):
            events += parser.feed(chunk)
    return events[:count]


def refusal(server: Server, request: bytes) -> tuple[int, str]:
    response, body = ask(server, request)
    return response.status, json.loads(body)["error"]["code"]


def text_of(events: list[ReceivedEvent]) -> str:
    chunks = [json.loads(event.data) for event in events if event.event == "message"]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


def numbers(events: list[ReceivedEvent]) -> list[int]:
    return [int(event.id) for event in events]


def delete(url: str) -> bytes:
    return get(url).replace(b"GET", b"DELETE", 1)


def test_an_answer_is_started_and_its_url_given(server):
    response, body = ask(server, post(PATH, chat()))
    answer = json.loads(body)
    assert response.status == 201
    assert response.headers["location"] == answer["url"] == f"{PATH}/{answer['id']}"
    assert answer["expires_at"] > time.time()
    ask(server, delete(answer["url"]))


def test_events_are_numbered_and_the_last_says_how_it_ended(server):
    events = read(server, start(server))
    assert numbers(events) == list(range(1, len(events) + 1))
    assert events[-1].event == "done", events[-1]
    end = json.loads(events[-1].data)
    assert end["finish_reason"] == "stop"
    assert end["usage"]["completion_tokens"] == TOKENS
    assert {event.event for event in events[:-1]} == {"message"}


def test_the_text_is_that_of_a_plain_completion(server):
    simulator = {"tokens": TOKENS, "itl_ms": 0}
    _, body = ask(server, post("/v1/chat/completions", chat(stream=False, simulator=simulator)))
    whole = json.loads(body)["choices"][0]["message"]["content"]
    assert text_of(read(server, start(server))) == whole


def test_a_comment_comes_first_and_retry_with_the_first_event(server):
    url = start(server)
    with server.connect() as sock:
        sock.sendall(get(url))
        body = Response(sock).body()
    assert body.startswith(b": stream\nretry: 2000\nid: 1\ndata: ")
    assert body.count(b"retry:") == 1


@pytest.mark.parametrize("parameter", [None, "last_event_id", "lastEventId"])
def test_a_reader_goes_on_after_its_last_event(server, parameter):
    url = start(server)
    first = read(server, url, count=5)
    rest = read(server, f"{url}?{parameter}=5") if parameter else read(server, url, after=5)
    whole = read(server, url)
    # But for `retry`, which each connection's first event carries.
    assert [(event.id, event.data) for event in first + rest] == [
        (event.id, event.data) for event in whole
    ]


def test_a_finished_answer_can_be_read_again(server):
    url = start(server)
    assert read(server, url) == read(server, url)


def test_two_readers_see_the_same(server):
    url = start(server, itl_ms=5)
    seen: list[list[ReceivedEvent]] = []
    threads = [threading.Thread(target=lambda: seen.append(read(server, url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[0] == seen[1]
    assert seen[0][-1].event == "done"


def test_a_reader_that_has_seen_the_end_gets_a_204(server):
    url = start(server)
    last = read(server, url)[-1].id
    assert ask(server, get(url, Last_Event_ID=last))[0].status == 204


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "９", "1" * 30, "1000000"])
def test_an_id_of_no_event_of_the_stream_is_a_400(server, given):
    url = start(server)
    read(server, url)
    request = get(url).replace(b"\r\n\r\n", f"\r\nLast-Event-ID: {given}\r\n\r\n".encode())
    assert refusal(server, request) == (400, "invalid_request")


def test_an_unknown_stream_is_a_404(server):
    assert refusal(server, get(f"{PATH}/unknown")) == (404, "not_found")
    assert refusal(server, delete(f"{PATH}/unknown")) == (404, "not_found")


def test_stopping_ends_the_generation_and_tells_the_readers(server):
    url = start(server, tokens=100_000, itl_ms=5)
    with server.connect() as sock:
        sock.sendall(get(url))
        response = Response(sock)
        response.until(b"id: 3\n")
        assert ask(server, delete(url))[0].status == 204
        end = response.body()
    assert b"event: error\n" in end
    assert b'"code":"stopped"' in end
    wait_until(lambda: server.logged("generation ended", outcome="cancelled", code="stopped"))
    assert ask(server, delete(url))[0].status == 204


def test_a_reader_that_leaves_does_not_end_the_generation(server):
    url = start(server, itl_ms=10)
    assert len(read(server, url, count=2)) == 2
    assert read(server, url)[-1].event == "done"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "status", "status": 503}, None),
        ({"kind": "error_event", "after": 3}, "upstream_error"),
        ({"kind": "truncate", "after": 3}, "upstream_truncated"),
        ({"kind": "cut", "after": 3}, "upstream_truncated"),
        ({"kind": "json_body"}, "upstream_invalid"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_failure_is_told_by_one_error_event(server, fault, code):
    events = read(server, start(server, fault=fault))
    assert [event.event for event in events].count("error") == 1
    assert events[-1].event == "error"
    error = json.loads(events[-1].data)["error"]
    assert error["message"]
    assert code is None or error["code"] == code


@pytest.mark.slow
def test_three_hundred_readers_that_reconnect_at_random_miss_nothing(server):
    url = start(server, tokens=200, itl_ms=10)
    seen: dict[int, list[int]] = {}

    def read_in_pieces(reader: int) -> None:
        ids: list[int] = []
        piece = reader % 7 + 1
        while events := read(server, url, after=len(ids), count=piece):
            ids += numbers(events)
            piece = piece * 3 % 50 + 1
        seen[reader] = ids

    threads = [threading.Thread(target=read_in_pieces, args=(reader,)) for reader in range(300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = numbers(read(server, url))
    assert total == list(range(1, len(total) + 1))
    assert [reader for reader in range(300) if seen[reader] != total] == []


# Several workers, several hosts.


@pytest.mark.slow
def test_a_reader_on_another_host_hears_within_ten_seconds_that_the_producer_died(redis):
    with Server(redis_url=redis.url) as first, Server(redis_url=redis.url) as second:
        url = start(first, tokens=100_000)
        with second.connect() as sock:
            sock.sendall(get(url))
            response = Response(sock)
            response.until(b"id: 3\n")
            worker = re.search(r"Booting worker with pid: ([0-9]+)", first.log)[1]
            os.kill(int(worker), signal.SIGKILL)
            killed_at = time.monotonic()
            end = response.body()
        assert time.monotonic() - killed_at < 10
    assert b'"code":"producer_lost"' in end
    assert end.count(b"event: error") == 1


@pytest.mark.slow
def test_readers_miss_nothing_when_redis_is_killed_and_comes_back():
    with (
        RedisServer() as redis,
        Server(redis_url=redis.url) as first,
        Server(redis_url=redis.url) as second,
    ):
        url = start(first, tokens=60, itl_ms=20)
        seen = []
        reader = threading.Thread(target=lambda: seen.extend(read(second, url)))
        reader.start()
        read(second, url, count=5)
        redis.kill()
        wait_until(lambda: b"Redis" in ask(first, get("/readyz"))[1])
        redis.start()
        reader.join()
    assert numbers(seen) == list(range(1, len(seen) + 1))
    assert seen[-1].event == "done"


@pytest.mark.slow
def test_a_rolling_reload_loses_no_event(redis):
    with Server(workers=2, redis_url=redis.url, drain_seconds=20) as server:
        wait_until(lambda: server.log.count("Booting worker") == 2)
        url = start(server, tokens=150, itl_ms=20)
        events: list[ReceivedEvent] = []
        for _ in range(2):
            booted = server.log.count("Booting worker")
            server.signal(signal.SIGHUP)
            events += read(server, url, after=len(events), count=10)
            wait_until(lambda booted=booted: server.log.count("Booting worker") == booted + 2)
            events += read(server, url, after=len(events), count=10)
        events += read(server, url, after=len(events))
    assert numbers(events) == list(range(1, len(events) + 1))
    assert events[-1].event == "done", events[-1]


@pytest.mark.slow
def test_a_worker_that_ends_has_written_the_end_of_its_streams(redis):
    with Server(redis_url=redis.url) as first, Server(redis_url=redis.url) as second:
        url = start(first, tokens=20, itl_ms=20)
        events = read(second, url, count=5)
        redis.client.execute_command("CLIENT", "PAUSE", 1000, "WRITE")
        first.signal(signal.SIGTERM)
        wait_until(lambda: first.logged("generation ended"))
        events += read(second, url, after=5)
    assert numbers(events) == list(range(1, len(events) + 1))
    assert events[-1].event == "done", events[-1]


@pytest.mark.slow
def test_a_start_with_a_redis_that_is_not_there_says_so_in_readyz(tmp_path):
    with Server(redis_url=f"unix://{tmp_path}/none") as server:
        response, body = ask(server, get("/readyz"))
        assert response.status == 200
        assert b"Redis" in body
        assert refusal(server, post(PATH, chat())) == (503, "redis_unreachable")


# Limits, keys.


def test_a_stream_without_a_reader_is_stopped():
    with Server(abandon_seconds=0.3) as server:
        url = start(server, tokens=100_000)
        wait_until(lambda: server.logged("generation ended", outcome="cancelled"))
        assert b"nobody was reading" in ask(server, get(url))[1]


@pytest.mark.slow
@pytest.mark.parametrize("kept_in", ["memory", "redis"])
def test_a_refused_reader_does_not_keep_a_stream_alive(kept_in, request):
    settings = {"redis_url": request.getfixturevalue("redis").url} if kept_in == "redis" else {}
    with Server(max_streams=1, abandon_seconds=1, **settings) as server:
        url = start(server, tokens=100_000)
        assert refusal(server, get(url)) == (503, "overloaded")
        wait_until(lambda: server.logged("generation ended", outcome="cancelled", code="stopped"))


def test_a_head_request_does_not_keep_a_stream_alive():
    with Server(abandon_seconds=1) as server:
        url = start(server, tokens=100_000)
        with server.connect() as sock:
            sock.sendall(get(url).replace(b"GET", b"HEAD", 1))
            assert Response(sock).status == 200
        wait_until(lambda: server.logged("generation ended", outcome="cancelled", code="stopped"))


def test_a_reader_whose_history_is_gone_is_told():
    with Server(history_bytes=2000) as server:
        url = start(server, itl_ms=0)
        wait_until(lambda: server.logged("generation ended"))
        events = read(server, url)
    assert events[0].event == "reset"
    oldest = json.loads(events[0].data)["oldest"]
    assert oldest > 1
    assert numbers(events[1:]) == list(range(oldest, oldest + len(events) - 1))


@pytest.mark.slow
def test_one_stream_too_many_is_a_429():
    with Server(streams_per_client=2) as server:
        for _ in range(2):
            start(server, tokens=100_000)
        response, body = ask(server, post(PATH, chat()))
        assert (response.status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(response.headers["retry-after"]) > 0


def test_a_stream_that_has_ended_counts_no_more():
    with Server(streams_per_client=1) as server:
        for _ in range(3):
            assert read(server, start(server))


@pytest.mark.slow
def test_a_worker_whose_history_is_full_refuses():
    with Server(total_history_bytes=10_000) as server:
        start(server, tokens=100_000, itl_ms=1)
        request = post(PATH, chat(simulator={"tokens": 1}))
        wait_until(lambda: ask(server, request)[0].status == 503)
        assert refusal(server, request) == (503, "overloaded")


def test_a_worker_whose_history_is_full_of_finished_streams_takes_more():
    with Server(total_history_bytes=50_000) as server:
        first = start(server, tokens=100, itl_ms=0)
        for _ in range(3):
            assert read(server, start(server, tokens=100, itl_ms=0))
        with server.connect() as sock:
            sock.sendall(get(first))
            assert Response(sock).status == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"workers": 2},
        {"arguments": ("-w", "2")},
        {"environment": {"GUNICORN_CMD_ARGS": "--workers 2"}},
    ],
    ids=["setting", "option", "GUNICORN_CMD_ARGS"],
)
def test_several_workers_need_redis_however_gunicorn_is_told_their_number(options):
    with Server(**options) as server:
        assert refusal(server, post(PATH, chat())) == (503, "needs_redis")
        assert refusal(server, get(f"{PATH}/unknown")) == (503, "needs_redis")


@pytest.mark.slow
def test_a_start_with_several_workers_and_without_redis_warns():
    with Server(workers=2) as server:
        # The first worker warns; the second may be ready before it.
        wait_until(lambda: "SLUICE_REDIS_URL" in server.log)


@pytest.mark.slow
def test_one_worker_needs_no_redis_though_the_setting_says_two():
    with Server(workers=2, arguments=("-w", "1")) as server:
        assert read(server, start(server))[-1].event == "done"


KEY = "a-key-0123456789"


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    with Server(api_keys=f"other-key-0123456789,{KEY}") as server:
        yield server


def start_with_key(server: Server) -> str:
    body = chat(simulator={"tokens": 3, "itl_ms": 0})
    response, answer = ask(server, post(PATH, body, Authorization=f"Bearer {KEY}"))
    assert response.status == 201
    return json.loads(answer)["url"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/streams", "/v1/unknown"])
def test_without_a_key_there_is_no_answer(locked, path):
    assert refusal(locked, post(path, chat())) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"X_Api_Key": KEY},
    ],
)
def test_a_key_is_taken_as_the_clients_send_it(locked, headers):
    body = chat(stream=False, simulator={"tokens": 1})
    response, _ = ask(locked, post("/v1/chat/completions", body, **headers))
    assert response.status == 200


@pytest.mark.parametrize("given", ["Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer "])
def test_a_wrong_key_is_refused(locked, given):
    request = post("/v1/chat/completions", chat(), Authorization=given)
    assert refusal(locked, request) == (401, "invalid_api_key")


def test_the_ticket_in_the_url_stands_for_the_key(locked):
    assert read(locked, start_with_key(locked))[-1].event == "done"


def test_a_ticket_is_good_for_its_own_stream_only(locked):
    url, other = start_with_key(locked), start_with_key(locked)
    mixed = url.partition("?")[0] + "?" + other.partition("?")[2]
    assert refusal(locked, get(mixed)) == (401, "invalid_api_key")


@pytest.mark.parametrize("spoil", [lambda url: url[:-1], lambda url: url.partition("?")[0]])
def test_a_forged_ticket_is_refused(locked, spoil):
    assert refusal(locked, get(spoil(start_with_key(locked)))) == (401, "invalid_api_key")


ENDLESS = chat(simulator={"tokens": 100_000, "itl_ms": 10})
WITH_KEY = {"Authorization": f"Bearer {KEY}"}


def test_the_url_with_a_ticket_is_for_reading_only(locked):
    url = json.loads(ask(locked, post(PATH, ENDLESS, **WITH_KEY))[1])["url"]
    assert refusal(locked, delete(url)) == (403, "read_only_ticket")
    assert refusal(locked, delete(url.partition("?")[0])) == (401, "invalid_api_key")
    with locked.connect() as sock:
        sock.sendall(get(url))
        Response(sock).until(b"id: 3")


@pytest.mark.parametrize(
    "stop",
    [
        lambda answer: delete(answer["stop_url"]),
        lambda answer: get(answer["url"], **WITH_KEY).replace(b"GET", b"DELETE", 1),
    ],
    ids=["stop_url", "key"],
)
def test_the_stop_url_stops_and_so_does_a_key(locked, stop):
    response, body = ask(locked, post(PATH, ENDLESS, **WITH_KEY))
    request_id = response.headers["x-request-id"]
    assert ask(locked, stop(json.loads(body)))[0].status == 204
    end = {"request_id": request_id, "outcome": "cancelled"}
    wait_until(lambda: locked.logged("generation ended", **end))


@pytest.mark.slow
def test_without_keys_the_stop_url_is_the_url():
    with Server() as server:
        answer = json.loads(ask(server, post(PATH, chat(simulator={"tokens": 1})))[1])
    assert answer["stop_url"] == answer["url"] == f"{PATH}/{answer['id']}"


@pytest.mark.slow
def test_tickets_outlive_a_change_of_keys_where_a_secret_key_signs_them():
    secret, other = "a-secret-0123456789", "other-secret-012345"
    with (
        RedisServer() as redis,
        Server(api_keys=KEY, secret_key=secret, redis_url=redis.url) as server,
    ):
        url = start_with_key(server)
        rotated = {"api_keys": "new-key-0123456789", "redis_url": redis.url}
        with Server(secret_key=f"{other},{secret}", **rotated) as after:
            assert read(after, url)[-1].event == "done"
        with Server(secret_key=other, **rotated) as revoked:
            assert refusal(revoked, get(url)) == (401, "invalid_api_key")


def test_a_ticket_expires():
    with Server(api_keys=KEY, stream_timeout_seconds=0.5, history_seconds=0.5) as server:
        url = start_with_key(server)
        wait_until(lambda: ask(server, get(url))[0].status == 401)


@pytest.mark.slow
def test_a_clients_key_does_not_reach_the_upstream():
    with Server(api_keys="upstreams-own-key") as upstream:
        with Server(upstream=f"{upstream.url}/v1", api_keys=KEY) as server:
            events = read(server, start_with_key(server))
            assert json.loads(events[-1].data)["error"]["code"] != "invalid_json"
            assert events[-1].event == "error"
        settings = {"upstream_api_key": "upstreams-own-key", "api_keys": KEY}
        with Server(upstream=f"{upstream.url}/v1", **settings) as server:
            assert read(server, start_with_key(server))[-1].event == "done"
