"""The same with sse-starlette's ``EventSourceResponse``, which makes the events anew and adds keep-alives."""

import os
from collections.abc import AsyncIterator

import httpx
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

_UPSTREAM = os.environ["UPSTREAM"]
_limits = httpx.Limits(max_connections=None, max_keepalive_connections=1000)
_client = httpx.AsyncClient(limits=_limits, timeout=600, trust_env=False)


async def relay(request: Request) -> EventSourceResponse:
    question = _client.build_request(
        "POST",
        f"{_UPSTREAM}/v1/chat/completions",
        content=await request.body(),
        headers={"Content-Type": "application/json"},
    )
    answer = await _client.send(question, stream=True)

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield {"data": line.removeprefix("data: ")}
        finally:
            await answer.aclose()

    return EventSourceResponse(events(), sep="\n")


app = Starlette(routes=[Route("/v1/chat/completions", relay, methods=["POST"])])
