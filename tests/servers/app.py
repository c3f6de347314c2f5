"""A Flask app with a view for each way of streaming that the tests look at.

What becomes of a stream is noted in files: a server that answers one request at a time could not be asked meanwhile.
"""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flask import Flask, Response, jsonify, request, stream_with_context

from flask_sluice import Event, StreamContext, sse_response
from flask_sluice.stream import registry

NOTES = Path(os.environ["SERVERS_NOTES"])
GATE_TIMEOUT_SECONDS = 30
BLOCKED_SECONDS = 3

app = Flask(__name__)
app.config["SLUICE_WRITE_TIMEOUT_SECONDS"] = 1.5
released = threading.Event()


class BusyError(Exception):
    """What an app raises before its stream has begun."""


@app.errorhandler(BusyError)
def busy(error: BusyError) -> tuple[Response, int]:
    return jsonify(says=str(error)), 429


@app.teardown_request
def note_teardown(_: BaseException | None) -> None:
    if request.path == "/reads_request":
        note(request.args["key"], "torn down")


def note(key: str, text: str) -> None:
    """Write down that something happened, and when (CLOCK_MONOTONIC, which all processes share)."""
    with (NOTES / key).open("a") as notes:
        notes.write(f"{time.monotonic()} {text}\n")


def pass_gate(key: str, name: str) -> None:
    """Wait until the test has opened a gate of this name."""
    deadline = time.monotonic() + GATE_TIMEOUT_SECONDS
    while not (NOTES / f"{key}.{name}").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the test has not opened the gate {name}")
        time.sleep(0.005)


@app.get("/inspect")
def inspect() -> dict[str, int]:
    gc.collect()
    return {
        "pid": os.getpid(),
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
        "greenlets": _living_greenlets(),
        "streams": registry.admission().count,
        "objects": len(gc.get_objects()),
    }


def _living_greenlets() -> int:
    greenlet = sys.modules.get("greenlet")
    if greenlet is None:
        return 0
    return sum(
        isinstance(thing, greenlet.greenlet) and not thing.dead for thing in gc.get_objects()
    )


@app.get("/release")
def release() -> dict[str, bool]:
    released.set()
    return {"released": True}


@app.get("/stream/<kind>")
def stream(kind: str) -> Response:
    key = request.args["key"]
    context = StreamContext()
    return sse_response(
        STREAMS[kind](key, context),
        keepalive=request.args.get("keepalive", None, float),
        deadline=request.args.get("deadline", None, float),
        hold_headers=request.args.get("hold", 0, float),
        status=request.args.get("status", 200, int),
        headers={"X-App": "its own", "Connection": "X-App"},
        on_disconnect=lambda: note(key, "disconnected"),
        context=context,
    )


@app.get("/reads_request")
def reads_request() -> Response:
    return sse_response(stream_with_context(reads_the_request()))


def reads_the_request() -> Iterator[Event]:
    key = request.args["key"]
    try:
        yield Event(data=request.path)
        pass_gate(key, "go on")
        yield Event(data=request.path)
    finally:
        note(key, "ended")


def waits_to_be_read(key: str, _: StreamContext) -> Iterator[Event]:
    for number in range(3):
        yield Event(data=str(number))
        pass_gate(key, f"read {number}")


def is_silent_twice(key: str, _: StreamContext) -> Iterator[Event]:
    pass_gate(key, "prefill")
    yield Event(data="first")
    pass_gate(key, "production")
    yield Event(data="last")


def raises(key: str, _: StreamContext) -> Iterator[Event]:
    yield Event(data="first")
    raise ZeroDivisionError("a secret of the server")


def raises_at_once(key: str, _: StreamContext) -> Iterator[Event]:
    raise BusyError("come back later")
    yield


def cuts_its_text(key: str, _: StreamContext) -> Iterator[str | bytes]:
    """One event in five pieces, cut inside of a character too, with a silence in its middle."""
    yield "data: on"
    yield b"e \xe2\x82"
    pass_gate(key, "silence")
    yield b"\xac\n"
    yield "data: two\n"
    yield "\ndata: [DONE]\n\n"


def goes_on(key: str, _: StreamContext) -> Iterator[Event]:
    note(key, f"process {os.getpid()}")
    try:
        while True:
            yield Event(data="token")
            time.sleep(0.01)
    finally:
        note(key, "ended")


def listens(key: str, context: StreamContext) -> Iterator[Event]:
    """A prefill that asks whether its client is still there."""
    note(key, f"process {os.getpid()}")
    try:
        if context.wait(GATE_TIMEOUT_SECONDS):
            note(key, "heard")
        yield Event(data="never read")
    finally:
        note(key, "ended")


def is_blocked(key: str, _: StreamContext) -> Iterator[Event]:
    note(key, "begins to wait")
    try:
        time.sleep(BLOCKED_SECONDS)
        yield Event(data="never read")
    finally:
        note(key, "ended")


def is_blocked_later(key: str, context: StreamContext) -> Iterator[Event]:
    yield Event(data="first")
    yield from is_blocked(key, context)


def floods(key: str, _: StreamContext) -> Iterator[Event]:
    event = Event(data="x" * 65536)
    try:
        while True:
            note(key, "made one")
            yield event
    finally:
        note(key, "ended")


def saves(key: str, _: StreamContext) -> Iterator[Event]:
    try:
        yield Event(event="done", data="x")
        pass_gate(key, "left")
        # For several keep-alives, of which one fails.
        time.sleep(0.5)
        note(key, "saved")
    finally:
        note(key, "ended")


def waits_for_release(key: str, _: StreamContext) -> Iterator[Event]:
    yield Event(data="first")
    released.wait(GATE_TIMEOUT_SECONDS)
    yield Event(data="last")


STREAMS: dict[str, Callable[[str, StreamContext], Iterator[Event | str | bytes]]] = {
    function.__name__: function
    for function in (
        *(waits_to_be_read, is_silent_twice, raises, raises_at_once, cuts_its_text, goes_on),
        *(listens, is_blocked, is_blocked_later, floods, saves, waits_for_release),
    )
}
