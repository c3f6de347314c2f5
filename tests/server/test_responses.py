"""The Responses API on the wire: whose responses are found by whom, on which worker, and for how long."""

import json

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import ask, get, post
from tests.system.redis_server import RedisServer

PATH = "/v1/responses"
QUICK = {"itl_ms": 0, "tokens": 5}
FIRST, SECOND = "sk-first-0123456789", "sk-second-0123456789"


def asked(*, simulator=QUICK, **fields):
    return {"model": "m", "input": "Why?", "simulator": simulator, **fields}


def make(server, *, key=None, **fields):
    response, body = ask(server, post(PATH, asked(**fields), **bearer(key)))
    assert response.status == 200, body
    return json.loads(body)


def bearer(key):
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def status_of(server, request):
    return ask(server, request)[0].status


def error_of(server, request):
    response, body = ask(server, request)
    assert response.headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status, error


def events_of(body):
    """The events, of which each has its name and its data, and nothing else."""
    blocks = body.split(b"\n\n")
    assert blocks.pop() == b""
    lines = [block.split(b"\n") for block in blocks if not block.startswith(b":")]
    assert all(len(event) == 2 for event in lines)
    events = [json.loads(data.removeprefix(b"data: ")) for _, data in lines]
    names = [name.removeprefix(b"event: ").decode() for name, _ in lines]
    assert names == [event["type"] for event in events]
    return events


def test_a_stream_has_named_events_without_ids_and_no_done(sluice):
    response, body = ask(sluice, post(PATH, asked(stream=True)))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    made = events_of(body)
    _, again = ask(sluice, get(f"{PATH}/{made[0]['response']['id']}?stream=true"))
    assert events_of(again) == made


def test_without_obfuscation_the_deltas_have_no_padding(sluice):
    given = asked(stream=True, stream_options={"include_obfuscation": False})
    events = events_of(ask(sluice, post(PATH, given))[1])
    assert not any("obfuscation" in event for event in events)
    padded = events_of(ask(sluice, post(PATH, asked(stream=True)))[1])
    deltas = [event for event in padded if event["type"] == "response.output_text.delta"]
    assert len({len(event["delta"] + event["obfuscation"]) for event in deltas}) == 1


def test_an_event_that_has_not_come_yet_cannot_be_gone_on_from(sluice):
    made = make(sluice)
    status, error = error_of(sluice, get(f"{PATH}/{made['id']}?stream=true&starting_after=99"))
    assert (status, error["param"]) == (400, "starting_after")
    status, error = error_of(sluice, get(f"{PATH}/{made['id']}?starting_after=1"))
    assert (status, error["param"]) == (400, "starting_after")
    status, error = error_of(sluice, get(f"{PATH}/{made['id']}?stream=true&starting_after=x"))
    assert (status, error["param"]) == (400, "starting_after")


@pytest.mark.parametrize(
    ("query", "param"), [("limit=0", "limit"), ("order=x", "order"), ("after=x", "after")]
)
def test_the_list_of_the_input_checks_its_query(sluice, query, param):
    made = make(sluice)
    assert error_of(sluice, get(f"{PATH}/{made['id']}/input_items?{query}"))[1]["param"] == param


def test_what_is_malformed_on_the_wire_is_whole_in_what_is_kept(sluice):
    for kind in ("malformed", "duplicate", "split_utf8", "heartbeat"):
        fault = {**QUICK, "fault": {"kind": kind}}
        body = ask(sluice, post(PATH, asked(stream=True, simulator=fault)))[1]
        first = json.loads(body.split(b"\n")[1].removeprefix(b"data: "))
        again = ask(sluice, get(f"{PATH}/{first['response']['id']}?stream=true"))[1]
        numbers = [event["sequence_number"] for event in events_of(again)]
        assert numbers == list(range(len(numbers)))


@pytest.fixture(scope="module")
def keyed():
    with Server(api_keys=f"{FIRST},{SECOND}", workers=1, streams_per_client=2) as server:
        yield server


def test_a_response_needs_a_key(keyed):
    for request in (
        post(PATH, asked()),
        get(f"{PATH}/resp_x"),
        post(f"{PATH}/resp_x/cancel", b""),
        get(f"{PATH}/resp_x/input_items"),
    ):
        assert status_of(keyed, request) == 401


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"background": True}])
def test_a_response_is_found_by_its_own_key_alone(keyed, fields):
    body = ask(keyed, post(PATH, asked(**fields), **bearer(FIRST)))[1]
    is_stream = "stream" in fields
    response_id = (events_of(body)[0]["response"] if is_stream else json.loads(body))["id"]
    for path in (f"{PATH}/{response_id}", f"{PATH}/{response_id}?stream=true"):
        assert status_of(keyed, get(path, **bearer(FIRST))) == 200
        assert status_of(keyed, get(path, **bearer(SECOND))) == 404
    other = post(PATH, asked(previous_response_id=response_id), **bearer(SECOND))
    assert error_of(keyed, other)[1]["code"] == "previous_response_not_found"


def test_as_many_responses_run_in_the_background_as_a_client_may_have(keyed):
    slow = {"itl_ms": 50, "tokens": 1000}
    made = [make(keyed, key=SECOND, background=True, simulator=slow) for _ in range(2)]
    third = post(PATH, asked(background=True, simulator=slow), **bearer(SECOND))
    assert status_of(keyed, third) == 429
    for each in made:
        cancel = post(f"{PATH}/{each['id']}/cancel", b"{}", **bearer(SECOND))
        assert status_of(keyed, cancel) == 200


def test_a_response_is_not_found_when_its_time_is_over():
    with Server(workers=1, history_seconds=0.3) as server:
        made = make(server)
        while status_of(server, get(f"{PATH}/{made['id']}")) == 200:
            pass
        assert error_of(server, get(f"{PATH}/{made['id']}"))[0] == 404


def test_a_response_in_the_background_outlives_the_time_without_readers():
    slow = {"itl_ms": 100, "tokens": 15}
    with Server(workers=1, abandon_seconds=0.3) as server:
        made = make(server, background=True, simulator=slow)
        _, body = ask(server, get(f"{PATH}/{made['id']}?stream=true&starting_after=0"))
        assert events_of(body)[-1]["type"] == "response.completed"
        # Of the same length, and read by none until it ends.
        alone = make(server, background=True, simulator=slow)
        ask(server, post(PATH, asked(simulator=slow)))
        assert found(server, alone["id"])["status"] in ("completed", "in_progress")


def found(server, response_id):
    return json.loads(ask(server, get(f"{PATH}/{response_id}"))[1])


def test_events_that_are_gone_are_not_streamed_and_the_response_is_still_found():
    with Server(workers=1, history_bytes=20_000) as server:
        made = make(server, stream=False, background=True, simulator={"itl_ms": 0, "tokens": 2000})
        ask(server, get(f"{PATH}/{made['id']}?stream=true&starting_after=0"))
        _, body = ask(server, get(f"{PATH}/{made['id']}?stream=true"))
        assert b"can no longer be streamed" in body
        wait_until(lambda: found(server, made["id"])["status"] == "completed")


def test_a_running_response_is_found_when_its_first_events_are_gone():
    with Server(workers=1, history_bytes=20_000) as server:
        slow = {"itl_ms": 1, "tokens": 100_000}
        made = make(server, stream=False, background=True, simulator=slow)
        url = f"{PATH}/{made['id']}"
        # Its first event names the model.
        wait_until(lambda: found(server, made["id"])["model"] is None)
        running = found(server, made["id"])
        assert (running["status"], running["output"]) == ("in_progress", [])
        assert abs(running["created_at"] - made["created_at"]) <= 1
        ask(server, post(f"{url}/cancel", {}))


def test_workers_that_share_nothing_answer_and_keep_nothing():
    with Server(workers=2) as server:
        made = make(server)
        assert error_of(server, get(f"{PATH}/{made['id']}"))[1]["code"] == "needs_redis"
        background = post(PATH, asked(background=True))
        assert error_of(server, background)[1]["code"] == "needs_redis"
        events = events_of(ask(server, post(PATH, asked(stream=True)))[1])
        assert events[-1]["type"] == "response.completed"


@pytest.mark.slow
def test_every_worker_finds_and_cancels_the_responses_of_all_where_they_share_redis():
    slow = {"itl_ms": 50, "tokens": 1000}
    with (
        RedisServer() as redis,
        Server(workers=1, redis_url=redis.url) as first,
        Server(workers=1, redis_url=redis.url) as second,
    ):
        made = events_of(ask(first, post(PATH, asked(stream=True)))[1])
        response_id = made[0]["response"]["id"]
        assert found(second, response_id)["status"] == "completed"
        again = ask(second, get(f"{PATH}/{response_id}?stream=true&starting_after=3"))[1]
        assert events_of(again) == made[4:]
        goes_on = make(second, previous_response_id=response_id)
        assert goes_on["usage"]["input_tokens"] > 5
        running = make(first, background=True, simulator=slow)
        assert found(second, running["id"])["status"] == "in_progress"
        cancelled = ask(second, post(f"{PATH}/{running['id']}/cancel", b"{}"))[1]
        assert json.loads(cancelled)["status"] == "cancelled"
        deleted = make(first)
        delete = get(f"{PATH}/{deleted['id']}").replace(b"GET", b"DELETE", 1)
        assert status_of(second, delete) == 200
        assert status_of(first, get(f"{PATH}/{deleted['id']}")) == 404
