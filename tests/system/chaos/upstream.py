"""An upstream whose answers are scripted by the question: numbered events, and the ends that upstreams have.

The last message of a request is a ``Script`` as JSON. Run: python -m tests.system.chaos.upstream PORT BOOK

Each request's id is written to the file BOOK before it is answered, so that a request that was sent twice shows.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import msgspec

from tests.server.raw_upstream import LAST_CHUNK, STREAM_HEAD, chunk, headers_of, whole

REFUSAL_CODE = "said_by_upstream"


class Script(msgspec.Struct):
    """How a request is to be answered.

    events: how many numbered events, from 1 on
    pace_seconds: the pause after each
    end: ``done``; ``cut``: the connection breaks instead; ``error``: an error event instead
    status: of a refusal before all that; 200: none
    """

    events: int
    pace_seconds: float
    end: str = "done"
    status: int = 200


class _Message(msgspec.Struct):
    content: str


class _Question(msgspec.Struct):
    messages: list[_Message]


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    body = {"id": "chaos", "object": "chat.completion.chunk", "created": 1, "model": "chaos"}
    return b"data: " + msgspec.json.encode({**body, "choices": [choice]}) + b"\n\n"


def _refusal() -> bytes:
    error = {"message": "as the script says", "type": "server_error", "code": REFUSAL_CODE}
    return msgspec.json.encode({"error": {**error, "param": None}})


async def _answer(script: Script, writer: asyncio.StreamWriter) -> bool:
    """Send one answer. Return whether the connection goes on."""
    if script.status != 200:
        writer.write(whole(_refusal(), f"{script.status} Refused"))
        return True
    writer.write(STREAM_HEAD)
    for number in range(1, script.events + 1):
        writer.write(chunk(_event({"content": f"{number} "})))
        await writer.drain()
        await asyncio.sleep(script.pace_seconds)
    if script.end == "cut":
        return False
    if script.end == "error":
        writer.write(chunk(b"data: " + _refusal() + b"\n\n") + LAST_CHUNK)
    else:
        writer.write(chunk(_event({}, "stop")) + chunk(b"data: [DONE]\n\n") + LAST_CHUNK)
    return True


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, book: int) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            os.write(book, headers_of(head)["x-request-id"].encode() + b"\n")
            question = msgspec.json.decode(body, type=_Question)
            script = msgspec.json.decode(question.messages[-1].content, type=Script)
            if not await _answer(script, writer):
                return
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # The gateway has closed the connection, as it does when a reader leaves.
    finally:
        writer.close()


async def _run(port: int, book: Path) -> None:
    file = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    server = await asyncio.start_server(
        lambda reader, writer: _serve(reader, writer, file), "127.0.0.1", port, backlog=512
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), Path(sys.argv[2])))
