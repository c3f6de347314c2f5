"""The upstream, asked over httpx: what both relays on Starlette have in common."""

import os

import httpx
from starlette.requests import Request

_UPSTREAM = os.environ["UPSTREAM"]
_limits = httpx.Limits(max_connections=None, max_keepalive_connections=1000)
_client = httpx.AsyncClient(limits=_limits, timeout=600, trust_env=False)


async def ask(request: Request) -> httpx.Response:
    """The answer to the same question, its body still to be read."""
    question = _client.build_request(
        "POST",
        f"{_UPSTREAM}/v1/chat/completions",
        content=await request.body(),
        headers={"Content-Type": "application/json"},
    )
    return await _client.send(question, stream=True)
