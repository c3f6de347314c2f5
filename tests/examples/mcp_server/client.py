"""Calls the MCP server's tools with the official SDK of this Python; prints what it got, then that it has cancelled a call.

Argument: the URL. It stays connected until its input ends.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import mcp

McpError = mcp.MCPError if hasattr(mcp, "MCPError") else mcp.McpError


@contextlib.asynccontextmanager
async def connect(url: str) -> AsyncIterator[tuple[Any, str]]:
    """Return the client, and the version that it speaks with the server."""
    if hasattr(mcp, "Client"):
        async with mcp.Client(url) as client:
            yield client, client.protocol_version
    else:
        from mcp.client.streamable_http import streamablehttp_client  # noqa: PLC0415

        async with (
            streamablehttp_client(url) as (received, sent, _),
            mcp.ClientSession(received, sent) as session,
        ):
            yield session, (await session.initialize()).protocolVersion


async def error_of(call: Any) -> str:
    try:
        await call
    except McpError as error:
        return str(error)
    return "no error"


async def main(url: str) -> None:
    progress = []

    async def add(done: float, total: float | None, text: str | None) -> None:
        progress.append([done, total, text])

    async with connect(url) as (client, version):
        pages = {"pages": 3, "seconds": 0.1}
        quick = await client.call_tool("count_words", {"text": "a b"})
        slow = await client.call_tool("read_pages", pages, progress_callback=add)
        wrong = await client.call_tool("count_words", {"text": 5})
        seen = {
            "version": version,
            "tools": [tool.name for tool in (await client.list_tools()).tools][:2],
            "quick": quick.content[0].text,
            "slow": slow.content[0].text,
            "progress": progress,
            "unknown": await error_of(client.call_tool("unknown", {})),
            "broken": await error_of(client.call_tool("broken", {})),
            "for the model": wrong.content[0].text,
        }
        print(json.dumps(seen), flush=True)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client.call_tool("silent", {}), 0.5)
        print("cancelled", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(sys.argv[1]))
