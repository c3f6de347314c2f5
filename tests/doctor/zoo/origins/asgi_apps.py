"""Starlette apps that stream the events of a Script: bare, through sse-starlette, and compressed."""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route

from tests.doctor.zoo.origins import contents
from tests.doctor.zoo.origins.script import Script

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def plain(request: Request) -> StreamingResponse:
    return StreamingResponse(events(request), media_type="text/event-stream")


async def careful(request: Request) -> StreamingResponse:
    return StreamingResponse(events(request), media_type="text/event-stream", headers=HEADERS)


async def compressible(request: Request) -> StreamingResponse:
    """A content type that GZipMiddleware does not except."""
    return StreamingResponse(events(request), media_type="application/x-ndjson")


async def sse(request: Request) -> EventSourceResponse:
    script = Script.of(request.url.query)
    seen = int(request.headers.get("Last-Event-ID", 0)) if script.resume == "exact" else 0

    async def run() -> AsyncIterator[ServerSentEvent]:
        for number in range(seen + 1, script.events + 1):
            await asyncio.sleep(script.interval)
            yield ServerSentEvent(f'{{"n": {number}}}', id=str(number), retry=1000)
        await asyncio.sleep(script.silence)
        yield ServerSentEvent("{}", event="end")

    return EventSourceResponse(run(), ping=script.heartbeat or None)


async def events(request: Request) -> AsyncIterator[bytes]:
    script = Script.of(request.url.query)
    for step in contents.counted(script, request.headers.get("Last-Event-ID", "")):
        if isinstance(step, float):
            await asyncio.sleep(step)
        else:
            yield step


_ROUTES = [
    Route("/plain", plain),
    Route("/careful", careful),
    Route("/sse", sse),
    Route("/ndjson", compressible),
]
app = Starlette(
    routes=[
        Mount("/gzip", routes=_ROUTES, middleware=[Middleware(GZipMiddleware, minimum_size=1)]),
        *_ROUTES,
    ]
)
