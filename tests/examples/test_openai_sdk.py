"""The app in examples/openai-sdk on real servers, read by OpenAI's own SDKs: they see what they see of OpenAI itself."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, OpenAI, RateLimitError

from tests.examples.installed import python_with
from tests.examples.openai_answers import (
    CHAT,
    CHAT_BEGINNING,
    CHAT_ERROR,
    REFUSAL,
    RESPONSE,
    RESPONSE_BEGINNING,
    RESPONSE_ERROR,
    TEXT,
    last_response_event,
)
from tests.server.raw_upstream import (
    STREAM_HEAD,
    RawUpstream,
    breaks_off,
    chunk,
    sends,
    streams,
    whole,
)
from tests.support.certificate import TlsUpstream, make_certificates
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import post

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOLDER = ROOT / "examples/openai-sdk"
NODE = ROOT / "tests/node"
CONFIGURATIONS = {
    "ours": ("python:flask_sluice.server.settings", ()),
    "gthread": (os.devnull, ("-k", "gthread", "--threads", "20", "--no-control-socket")),
}
OLDEST_SDK = ("openai==2.0.0", "gunicorn[gevent]~=27.0", "Flask~=3.1", "msgspec~=0.22")
"""The oldest of examples/openai-sdk/requirements.txt, and what the app needs besides."""

CHAT_CALL, RESPONSES_CALL = "chat.completions.create", "responses.create"
ASKED: dict[str, dict[str, Any]] = {
    CHAT_CALL: {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream_options": {"include_usage": True},
        "stream": True,
    },
    RESPONSES_CALL: {"model": "gpt-5", "input": "Hi", "stream": True},
}
BEGINNINGS = {CHAT_CALL: CHAT_BEGINNING, RESPONSES_CALL: RESPONSE_BEGINNING}
Seen = tuple[list[Any], Any]
"""The items that an SDK yields, and what it raises."""
Reader = Callable[[str, str], Seen]


@contextlib.contextmanager
def app_in_front_of(url: str, kind: str, python: str, **environment: str) -> Iterator[Server]:
    configuration, arguments = CONFIGURATIONS[kind]
    with Server(
        configuration=configuration,
        arguments=arguments,
        folder=FOLDER,
        python=python,
        environment={
            "PYTHONPATH": f"{ROOT}/wsgi",
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": "a key for tests",
            **environment,
        },
    ) as server:
        yield server


@pytest.fixture(scope="module", params=["ours-newest SDK", "gthread-oldest SDK"])
def app(request: pytest.FixtureRequest, raw_upstream: RawUpstream) -> Iterator[Server]:
    kind, sdk = request.param.split("-")
    python = sys.executable if sdk == "newest SDK" else python_with(*OLDEST_SDK)
    with app_in_front_of(raw_upstream.url, kind, python) as server:
        yield server


# The SDKs


def described(error: APIError) -> Any:
    status = getattr(error, "status_code", None)
    return [type(error).__name__, error.message, status, error.code, error.type, error.body]


def method(client: Any, call: str) -> Callable[..., Any]:
    for name in call.split("."):
        client = getattr(client, name)
    return client


def read_with_python(url: str, call: str) -> Seen:
    items: list[Any] = []
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        try:
            items.extend(item.to_dict() for item in method(client, call)(**ASKED[call]))
        except APIError as error:
            return items, described(error)
    return items, None


def read_with_asyncio(url: str, call: str) -> Seen:
    items: list[Any] = []

    async def read() -> Any:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
            try:
                async for item in await method(client, call)(**ASKED[call]):
                    items.append(item.to_dict())  # noqa: PERF401 - those before an error count
            except APIError as error:
                return described(error)
        return None

    return items, asyncio.run(read())


@pytest.fixture(scope="module")
def read_with_node() -> Iterator[Reader]:
    if shutil.which("node") is None or not (NODE / "node_modules/openai").exists():
        reason = "node, or its packages, are not installed; make test does that"
        pytest.fail(reason) if "CI" in os.environ else pytest.skip(reason)
    with subprocess.Popen(
        ["node", "client.mjs"], cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def read(url: str, call: str) -> Seen:
            asked = {"url": url, "call": call, "parameters": [ASKED[call]]}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            seen = json.loads(process.stdout.readline())
            return seen["items"], seen["error"]

        try:
            yield read
        finally:
            process.kill()


@pytest.fixture(params=["python", "asyncio", "node"])
def read(request: pytest.FixtureRequest) -> Reader:
    if request.param == "node":
        return request.getfixturevalue("read_with_node")
    return {"python": read_with_python, "asyncio": read_with_asyncio}[request.param]


def direct(upstream: RawUpstream) -> str:
    return f"http://{upstream.host}"


# The same stream


@pytest.mark.parametrize(("call", "answer"), [(CHAT_CALL, CHAT), (RESPONSES_CALL, RESPONSE)])
def test_an_sdk_reads_the_same_items_as_from_openai(app, upstream, read, call, answer):
    upstream.handler = streams(*answer)
    items, error = read(app.url, call)
    assert len(items) >= len(answer) - 1
    assert error is None
    assert (items, error) == read(direct(upstream), call)


@pytest.mark.parametrize("kind", ["response.failed", "response.incomplete", "error"])
def test_an_sdk_reads_the_same_end_of_a_response_as_from_openai(app, upstream, read, kind):
    upstream.handler = streams(*RESPONSE_BEGINNING, last_response_event(kind))
    items, error = read(app.url, RESPONSES_CALL)
    assert len(items) >= len(RESPONSE_BEGINNING)
    assert (items, error) == read(direct(upstream), RESPONSES_CALL)


@pytest.mark.parametrize(
    ("call", "told"), [(CHAT_CALL, CHAT_ERROR), (RESPONSES_CALL, RESPONSE_ERROR)]
)
def test_an_sdk_raises_the_same_error_in_the_middle_as_from_openai(app, upstream, read, call, told):
    upstream.handler = streams(*BEGINNINGS[call], told)
    items, error = read(app.url, call)
    assert len(items) == len(BEGINNINGS[call])
    assert "Out of memory." in json.dumps(error)
    assert (items, error) == read(direct(upstream), call)


@pytest.mark.parametrize("call", ASKED)
def test_an_sdk_raises_the_same_refusal_as_from_openai(app, upstream, read, call):
    body = json.dumps(REFUSAL).encode()
    upstream.handler = sends(whole(body, "429 Too Many Requests", Retry_After=7))
    items, error = read(app.url, call)
    assert items == []
    assert "RateLimitError" in json.dumps(error)
    assert (items, error) == read(direct(upstream), call)


@pytest.mark.parametrize("call", ASKED)
@pytest.mark.parametrize("end", [streams, breaks_off], ids=["without-last-event", "cut"])
def test_an_sdk_raises_an_error_for_an_answer_that_breaks_off(app, upstream, read, call, end):
    upstream.handler = end(*BEGINNINGS[call])
    items, error = read(app.url, call)
    assert len(items) == len(BEGINNINGS[call])
    assert "upstream_" in json.dumps(error)


def test_the_sdks_helpers_put_the_answers_together(app, upstream):
    with OpenAI(base_url=f"{app.url}/v1", api_key="any", max_retries=0) as client:
        upstream.handler = streams(*CHAT)
        messages = ASKED[CHAT_CALL]["messages"]
        with client.chat.completions.stream(model="gpt-5", messages=messages) as chunks:
            assert chunks.get_final_completion().choices[0].message.content == TEXT
        upstream.handler = streams(*RESPONSE)
        with client.responses.stream(model="gpt-5", input="Hi") as events:
            assert events.get_final_response().output_text == TEXT


def test_an_sdk_reads_the_answer_of_the_simulator(sluice):
    asked = {**ASKED[CHAT_CALL], "extra_body": {"simulator": {"itl_ms": 1, "tokens": 40}}}
    texts = []
    with app_in_front_of(f"{sluice.url}/v1", "ours", sys.executable) as app:
        for url in (app.url, sluice.url):
            with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
                chunks = list(client.chat.completions.create(**asked))
            texts.append([each.choices and each.choices[0].delta.content for each in chunks])
    assert len(texts[0]) > 40
    assert texts[0] == texts[1]


# Leaving


@pytest.mark.parametrize("call", ASKED)
def test_a_reader_that_leaves_ends_the_connection_to_openai_at_once(app, upstream, call):
    upstream.handler = sends(STREAM_HEAD, *map(chunk, BEGINNINGS[call]))
    logged = len(app.log)
    with OpenAI(base_url=f"{app.url}/v1", api_key="any", max_retries=0) as client:
        items = method(client, call)(**ASKED[call])
        for _ in BEGINNINGS[call]:
            next(items)
        # The app waits for an event that never comes.
        items.close()
        wait_until(lambda: upstream.connections[0].closed_at is not None, timeout_seconds=5)
        # A round trip more: what the app logs of the reader that left is there.
        upstream.handler = streams(*CHAT)
        assert list(client.chat.completions.create(**ASKED[CHAT_CALL]))
    assert "Traceback" not in app.log[logged:]


def test_a_reader_that_leaves_before_openai_answers_ends_the_connection_on_gevent(upstream):
    request = post("/v1/chat/completions", ASKED[CHAT_CALL])
    with app_in_front_of(upstream.url, "ours", sys.executable) as app, app.connect() as sock:
        sock.sendall(request)
        wait_until(lambda: upstream.requests)
        sock.close()
        wait_until(lambda: upstream.connections[0].closed_at is not None, timeout_seconds=5)


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_a_reader_that_leaves_ends_the_connection_to_openai_over_tls(tmp_path, kind):
    certificates = make_certificates(tmp_path)
    trust = {"SSL_CERT_FILE": str(certificates["trusted"])}
    with (
        TlsUpstream(certificates["good"]) as upstream,
        app_in_front_of(upstream.url, kind, sys.executable, **trust) as app,
        OpenAI(base_url=f"{app.url}/v1", api_key="any", max_retries=0) as client,
    ):
        upstream.handler = sends(STREAM_HEAD, *map(chunk, CHAT_BEGINNING))
        with client.chat.completions.create(**ASKED[CHAT_CALL]) as chunks:
            for _ in CHAT_BEGINNING:
                next(chunks)
        wait_until(lambda: upstream.connections[0].closed_at is not None, timeout_seconds=5)


def test_the_app_goes_on_after_readers_have_left(app, upstream):
    with OpenAI(base_url=f"{app.url}/v1", api_key="any", max_retries=0) as client:
        for _ in range(5):
            upstream.handler = sends(STREAM_HEAD, *map(chunk, CHAT_BEGINNING))
            with client.chat.completions.create(**ASKED[CHAT_CALL]) as chunks:
                next(chunks)
            upstream.handler = streams(*CHAT)
            assert len(list(client.chat.completions.create(**ASKED[CHAT_CALL]))) == len(CHAT) - 1
        upstream.handler = sends(whole(json.dumps(REFUSAL).encode(), "429 Too Many Requests"))
        with pytest.raises(RateLimitError):
            client.chat.completions.create(**ASKED[CHAT_CALL])
