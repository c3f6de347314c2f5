"""The same with sse-starlette's ``EventSourceResponse``, which makes the events anew and adds keep-alives."""

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.peers.upstream_over_httpx import ask


async def relay(request: Request) -> EventSourceResponse:
    answer = await ask(request)

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield {"data": line.removeprefix("data: ")}
        finally:
            await answer.aclose()

    return EventSourceResponse(events(), sep="\n")


app = Starlette(routes=[Route("/v1/chat/completions", relay, methods=["POST"])])
