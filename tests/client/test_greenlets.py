"""The same client in a process that gevent has patched."""

import gzip
import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.client.answers import DONE, EVENT, deaf_server, trickles
from tests.server.raw_upstream import (
    STREAM_HEAD,
    RawUpstream,
    chunk,
    sends,
    streams,
    target_of,
    whole,
)
from tests.support.server import ROOT

READERS = 20
LIMIT = 0.05
AT_ONCE_SECONDS = 5
# 20 MB of events, compressed to 20 kB, which arrive with the first read.
_FLOOD = whole(
    gzip.compress((b"data: " + b"x" * 60_000 + b"\n\n") * 300 + DONE),
    Content_Type="text/event-stream",
    Content_Encoding="gzip",
)


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """Run tests/client/greenlets.py, and return what it measured."""
    together = threading.Barrier(READERS)
    silence = threading.Event()

    def waits_for_all(sock, request):
        together.wait(30)
        streams(EVENT, DONE)(sock, request)

    def says_so_and_nothing(sock, request):
        silence.set()

    def tells(sock, request):
        silence.wait(30)
        streams(DONE)(sock, request)

    handlers = {
        "/together": waits_for_all,
        "/keep-alives": trickles(STREAM_HEAD + chunk(EVENT), chunk(b": ping\n\n")),
        "/trickle": trickles(STREAM_HEAD + chunk(EVENT), b"0"),
        "/one-event": sends(STREAM_HEAD, chunk(EVENT)),
        "/silence": says_so_and_nothing,
        "/told": tells,
        "/flood": sends(_FLOOD),
    }
    with (
        RawUpstream(lambda sock, request: handlers[target_of(request)](sock, request)) as server,
        deaf_server() as deaf_url,
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.client.greenlets", f"http://{server.host}", deaf_url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.slow
def test_readers_do_not_block_each_other(seen):
    assert seen["concurrent"] == [["a"]] * READERS


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ("idle_event", "IdleEventTimeoutError"),
        ("total", "TotalTimeoutError"),
        ("connect", "ConnectTimeoutError"),
    ],
)
def test_time_limits_hold(seen, limit, error):
    name, took = seen[limit]
    assert name == error
    assert LIMIT <= took < AT_ONCE_SECONDS


@pytest.mark.parametrize(
    "moment", ["closed_in_connecting", "closed_before_answer", "closed_between_events"]
)
def test_closing_from_another_greenlet_wakes_the_reader(seen, moment):
    ending, took = seen[moment]
    assert ending == "closed"
    assert took < AT_ONCE_SECONDS


def test_a_flood_of_events_lets_other_greenlets_run(seen):
    assert seen["turns_during_flood"] > 5
