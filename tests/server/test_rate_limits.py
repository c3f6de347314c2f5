"""SLUICE_RATE_LIMIT, counted in a worker's memory."""

import contextlib
import time
from collections.abc import Iterator

import openai
import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

PATH = "/v1/chat/completions"
ONE, TWO = "first-key-0123456789", "second-key-0123456789"
SHORT = chat(simulator={"text": "hi"})


@contextlib.contextmanager
def limited(limit: str, **settings: object) -> Iterator[Server]:
    with Server(rate_limit=limit, **settings) as server:
        yield server


def ask(server: Server, request: bytes) -> Response:
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        response.received = response.body()
        return response


def statuses(server: Server, *requests: bytes) -> list[int]:
    return [ask(server, request).status for request in requests]


def test_a_request_over_the_limit_is_refused_and_told_when_to_retry():
    with limited("2/day") as server:
        assert statuses(server, *[post(PATH, SHORT)] * 2) == [200, 200]
        refusal = ask(server, post(PATH, SHORT))
    assert refusal.status == 429
    assert b'"code":"rate_limit_exceeded"' in refusal.received
    assert b'"type":"rate_limit_error"' in refusal.received
    seconds = int(refusal.headers["retry-after"])
    assert 1 <= seconds <= 86_400
    assert refusal.headers["x-ratelimit-limit"] == "2"
    assert refusal.headers["x-ratelimit-remaining"] == "0"
    assert abs(int(refusal.headers["x-ratelimit-reset"]) - time.time() - seconds) < 5


@pytest.mark.slow
def test_a_client_that_retries_when_told_is_served():
    with limited("1/second") as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=5)
        for _ in range(3):
            messages = [{"role": "user", "content": "hi"}]
            answer = client.chat.completions.create(model="any", messages=messages, max_tokens=1)
            assert answer.choices


def test_each_of_several_limits_counts():
    with limited("3/day; 1/second, 1000/month") as server:
        refusals = [
            response for _ in range(4) if (response := ask(server, post(PATH, SHORT))).status == 429
        ]
    assert refusals
    assert {refusal.headers["x-ratelimit-limit"] for refusal in refusals} <= {"1", "3"}


def test_a_request_that_starts_an_answer_is_counted_also_if_it_fails():
    with limited("4/day") as server:
        counted = [
            post(PATH, SHORT),
            post("/v1/completions", {}),
            post("/v1/streams", SHORT),
            get("/stream_chat?name=%20"),
        ]
        assert 429 not in statuses(server, *counted)
        assert statuses(server, *counted) == [429] * 4


def test_a_request_that_starts_no_answer_is_not_counted():
    with limited("1/day") as server:
        assert statuses(server, post(PATH, SHORT), post(PATH, SHORT)) == [200, 429]
        free = [
            "/",
            "/health",
            "/healthz",
            "/readyz",
            "/static/js/fetch-event-source/fetch-event-source.js",
            "/v1/models",
        ]
        assert statuses(server, *map(get, free)) == [200] * len(free)
        assert statuses(server, get("/v1/streams/unknown")) == [404]


def test_keys_are_counted_apart_and_wrong_ones_not_at_all():
    with limited("1/day", api_keys=f"{ONE},{TWO}") as server:
        wrong = post(PATH, SHORT, Authorization="Bearer three")
        assert statuses(server, *[wrong] * 3) == [401] * 3
        for key in (ONE, TWO):
            asked = [post(PATH, SHORT, Authorization=f"Bearer {key}")] * 2
            assert statuses(server, *asked) == [200, 429]
        # The same key in another header is the same client.
        assert statuses(server, post(PATH, SHORT, X_Api_Key=ONE)) == [429]


def test_where_no_key_is_needed_addresses_are_counted():
    with limited("2/day", api_keys=ONE, demo=1) as server:
        asked = [get("/stream_chat?name=%20", Authorization=f"Bearer {n}") for n in range(3)]
        assert statuses(server, *asked) == [400, 400, 429]
        assert statuses(server, post(PATH, SHORT, Authorization=f"Bearer {ONE}")) == [200]


def test_keys_that_are_not_checked_do_not_tell_clients_apart():
    with limited("2/day") as server:
        asked = [post(PATH, SHORT, Authorization=f"Bearer {number}") for number in range(3)]
        assert statuses(server, *asked) == [200, 200, 429]


@pytest.mark.slow
def test_several_workers_without_redis_say_that_each_counts_for_itself():
    with limited("2/day", workers=2) as server:
        # The first worker says so; the second may be ready before it.
        wait_until(lambda: "each of the 2 workers counts for itself" in server.log)
