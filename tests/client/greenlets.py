"""Runs the client in greenlets, in its own process: python -m tests.client.greenlets URL DEAF_URL

URL is the server of test_greenlets, DEAF_URL one that accepts no connection. Prints the measurements as JSON.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - after the patches
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402

from flask_sluice.client import SSEClient, Timeouts  # noqa: E402
from tests.client.answers import connecting_to, failure_of, texts  # noqa: E402

READERS = 20
LIMIT = 0.05


def open_stream(url: str, path: str, **limits: float):
    client = SSEClient(url, timeouts=Timeouts(**{"total_seconds": 10, **limits}))
    return client.stream("POST", path)


def concurrent(url: str) -> list:
    """Read from a server that answers only when it has all requests."""
    readers = [gevent.spawn(texts, open_stream(url, "/together")) for _ in range(READERS)]
    return [reader.get() for reader in readers]


def limited(url: str, path: str, **limits: float) -> list:
    started_at = time.monotonic()
    error = failure_of(open_stream(url, path, **limits))
    return [type(error).__name__, time.monotonic() - started_at]


def closed(stream, is_waiting) -> list:
    """Close the stream from another greenlet than the reader's."""
    reader = gevent.spawn(failure_of, stream)
    while not is_waiting():
        gevent.sleep(0.001)
    closed_at = time.monotonic()
    stream.close()
    return [reader.get().ending, time.monotonic() - closed_at]


def turns_during_flood(url: str) -> int:
    """Return how often another greenlet ran while events could be read without waiting."""
    turns = 0

    def count():
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    with open_stream(url, "/flood") as stream:
        next(stream)
        counter = gevent.spawn(count)
        texts(stream)
    counter.kill()
    return turns


def main(url: str, deaf_url: str) -> None:
    before = connecting_to(deaf_url)
    waiting_for_events = open_stream(url, "/one-event")
    seen = {
        "concurrent": concurrent(url),
        "idle_event": limited(url, "/keep-alives", idle_event_seconds=LIMIT),
        "total": limited(url, "/trickle", total_seconds=LIMIT),
        "connect": limited(deaf_url, "/", connect_seconds=LIMIT),
        "closed_between_events": closed(waiting_for_events, lambda: waiting_for_events.event_count),
        # /told answers once the server has been asked for /silence.
        "closed_before_answer": closed(
            open_stream(url, "/silence"), lambda: texts(open_stream(url, "/told")) == []
        ),
        "closed_in_connecting": closed(
            open_stream(deaf_url, "/"), lambda: connecting_to(deaf_url) > before
        ),
        "turns_during_flood": turns_during_flood(url),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
