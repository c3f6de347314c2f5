"""The same on an event loop: Starlette's ``StreamingResponse`` over httpx."""

import os
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

_UPSTREAM = os.environ["UPSTREAM"]
_limits = httpx.Limits(max_connections=None, max_keepalive_connections=1000)
_client = httpx.AsyncClient(limits=_limits, timeout=600, trust_env=False)


async def relay(request: Request) -> StreamingResponse:
    question = _client.build_request(
        "POST",
        f"{_UPSTREAM}/v1/chat/completions",
        content=await request.body(),
        headers={"Content-Type": "application/json"},
    )
    answer = await _client.send(question, stream=True)

    async def events() -> AsyncIterator[bytes]:
        try:
            async for data in answer.aiter_raw():
                yield data
        finally:
            await answer.aclose()

    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/v1/chat/completions", relay, methods=["POST"])])
