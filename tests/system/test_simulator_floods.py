"""Floods of the largest requests that the simulator takes leave others their streams at their pace."""

import threading
from collections.abc import Iterator

import pytest

from flask_sluice.gateway.simulator.bounds import MAX_BODY_BYTES
from tests.support.server import Server
from tests.support.stream import Response
from tests.system.bystanders import Bystanders

AT_ONCE = 6
MAX_PAUSE_SECONDS = 0.1
ROOM = MAX_BODY_BYTES - 1000
QUESTION = '"messages":[{"role":"user","content":"why"}]'


def chat(fields: str) -> str:
    return f'{{"model":"m",{QUESTION},{fields}}}'


def simulated(options: str) -> str:
    return f'"simulator":{{{options}}}'


AT_ONCE_SENT = simulated('"itl_ms":0')
LINE_ENDS = '"text":"' + "\\n" * 500_000 + '"'
OBJECTS = ",".join(["{}"] * (ROOM // 3))
WORDS = "why " * (ROOM // 4)
LETTERS = "!" * ROOM
IDS = ",".join(["1000000"] * 100_000)
PROMPTS = ",".join(['"why"'] * 500)
FLOODS = {
    "long questions with 128 answers": (
        '{"model":"m","n":128,"messages":[{"role":"user","content":"' + WORDS + '"}]}'
    ),
    "arguments over their limit": chat(
        simulated(f'"tool_call":{{"name":"n","arguments":"{LETTERS}"}}')
    ),
    "arguments of many objects": chat(
        simulated(f'"tool_call":{{"name":"n","arguments":{{"a":[{OBJECTS}]}}}}')
    ),
    "many long texts": f'{{"model":"m","prompt":[{PROMPTS}],{simulated(LINE_ENDS)}}}',
    "two long texts": chat(f'"n":2,{simulated(LINE_ENDS)}'),
    "100,000 tokens": chat(simulated('"tokens":100000,"itl_ms":0')),
    "500 answers": f'{{"model":"m","prompt":[{PROMPTS}],{AT_ONCE_SENT}}}',
    "token ids": f'{{"model":"m","prompt":[{IDS}]}}',
    "over the limit of a body": chat('"n":128,"x":"' + "x" * 10_000_000 + '"'),
}


@pytest.fixture(scope="module")
def others() -> Iterator[tuple[Server, Bystanders]]:
    with Server("tests.system.attacked_app:app") as server, Bystanders(server) as others:
        yield server, others


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_large_requests_holds_up_nobody(others, flood):
    server, bystanders = others
    body = FLOODS[flood].encode()
    path = "/v1/completions" if b'"prompt"' in body[:100] else "/v1/chat/completions"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    statuses = []

    def ask() -> None:
        with server.connect() as sock:
            sock.sendall(head.encode() + body)
            response = Response(sock)
            statuses.append(response.status)
            response.body()

    with bystanders.undisturbed(MAX_PAUSE_SECONDS):
        threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(statuses) == AT_ONCE
    assert set(statuses) <= {200, 400, 413}
