"""Reads one stream with each client from PyPI at the same time, and prints what they saw as JSON.

Arguments: the gateway's URL, the body of a chat completion. The stream begins when the clients are ready to read it.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx_sse
import ld_eventsource
import openai
import requests
import requests_sse
import sseclient
from aiohttp_sse_client2 import client as aiohttp_sse

URL, BODY = sys.argv[1], json.loads(sys.argv[2])
CHAT = f"{URL}/v1/chat/completions"
Seen = Iterator[list[str]]


def read_with_httpx_sse(method: str, url: str, body: object) -> Seen:
    with (
        httpx.Client(timeout=20) as client,
        httpx_sse.connect_sse(client, method, url, json=body) as source,
    ):
        for event in source.iter_sse():
            yield [event.event, event.data]


def read_with_sseclient(method: str, url: str, body: object) -> Seen:
    with requests.request(method, url, json=body, stream=True, timeout=20) as response:
        for event in sseclient.SSEClient(response).events():
            yield [event.event, event.data]


def read_with_requests_sse(method: str, url: str, body: object) -> Seen:
    with requests_sse.EventSource(url, method=method, json=body, timeout=20) as source:
        for event in source:
            yield [event.type, event.data]


def read_with_ld_eventsource(method: str, url: str, body: object) -> Seen:
    # It sends GET only.
    client = ld_eventsource.SSEClient(url)
    try:
        for event in client.events:
            yield [event.event, event.data]
            if event.event == "done":
                return
    finally:
        client.close()


def read_with_aiohttp_sse(method: str, url: str, body: object) -> Seen:
    async def read() -> list[list[str]]:
        seen = []
        async with aiohttp_sse.EventSource(url, option={"method": method}, json=body) as source:
            async for event in source:
                seen.append([event.type or "message", event.data])
                if event.type == "done" or event.data == "[DONE]":
                    break
        return seen

    yield from asyncio.run(read())


def read_with_openai(method: str, url: str, body: dict[str, Any]) -> Seen:
    client = openai.OpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0)
    messages, simulator = body["messages"], {"simulator": body["simulator"]}
    for item in client.chat.completions.create(
        model=body["model"], messages=messages, stream=True, extra_body=simulator
    ):
        yield ["message", item.model_dump_json(exclude_unset=True)]


def see(read: Callable[..., Seen], *request: object) -> list[list[str]]:
    seen = []
    try:
        for event in read(*request):
            seen.append(event)
            if event[0] == "done" or event[1] == "[DONE]":
                break
    except Exception as error:  # noqa: BLE001 - told to the test
        seen.append(["error", f"{type(error).__name__}: {error}"])
    return seen


ANY_METHOD = {
    "httpx-sse": read_with_httpx_sse,
    "sseclient-py": read_with_sseclient,
    "requests-sse": read_with_requests_sse,
    "aiohttp-sse-client2": read_with_aiohttp_sse,
}
path = requests.post(f"{URL}/v1/streams", json=BODY, timeout=20).json()["url"]
with ThreadPoolExecutor(20) as pool:
    resumable = {
        name: pool.submit(see, read, "GET", URL + path, None)
        for name, read in {
            **ANY_METHOD,
            "launchdarkly-eventsource": read_with_ld_eventsource,
        }.items()
    }
    chat = {
        name: pool.submit(see, read, "POST", CHAT, BODY)
        for name, read in {**ANY_METHOD, "openai": read_with_openai}.items()
    }
results = {"resumable": resumable, "chat": chat}
seen = {route: {name: of.result() for name, of in all_.items()} for route, all_ in results.items()}
print(json.dumps({"path": path, "seen": seen}))
