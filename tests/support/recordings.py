"""An upstream to record, and its recordings."""

import json
import socket
import time
from pathlib import Path
from typing import Any

from tests.server.raw_upstream import LAST_CHUNK, STREAM_HEAD, Handler, chunk, hang_up
from tests.support.server import wait_until
from tests.support.stream import reset

Lines = list[dict[str, Any]]


def recording_of(folder: Path, question: str, count: int = 1) -> Lines:
    """Return the lines of the newest recording whose request holds this text, once there are so many and it has ended."""

    def found() -> Lines | None:
        files = [lines for lines in map(_lines, sorted(folder.glob("*.jsonl"))) if lines]
        of_question = [lines for lines in files if question in json.dumps(lines[0])]
        ended = [lines for lines in of_question if "end" in lines[-1]]
        return ended[-1] if len(ended) == count else None

    return wait_until(found, explain=lambda: str(list(folder.iterdir())))


def _lines(path: Path) -> Lines:
    # The last line may be half there.
    whole = path.read_text().rpartition("\n")[0].split("\n")
    return [json.loads(line) for line in whole if line]


def paced(seconds: float, *events: bytes, then: Handler | None = None) -> Handler:
    """Send each event so long after the one before; then end properly, or as ``then`` does."""

    def handler(sock: socket.socket, request: bytes) -> None:
        sock.sendall(STREAM_HEAD)
        for event in events:
            time.sleep(seconds)
            sock.sendall(chunk(event))
        if then is None:
            sock.sendall(LAST_CHUNK)
        else:
            time.sleep(seconds)
            then(sock, request)

    return handler


def cuts(sock: socket.socket, _request: bytes) -> None:
    hang_up(sock)


def resets(sock: socket.socket, _request: bytes) -> None:
    reset(sock)
