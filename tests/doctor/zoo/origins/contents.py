"""The events that the raw origin sends: counted ones, and the answers of three kinds of API."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from tests.doctor.zoo.origins.odd_parts import PARTS
from tests.doctor.zoo.origins.script import Script
from tests.doctor.zoo.origins.steps import Step

T = TypeVar("T")
_TEXT_ID = "event-"
_DESCENDING_FROM = 10_000
_BROKEN = '{"choices": [{"index": 0, "delta": {"cont'
_WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "by", "the", "river")


def event(data: object, *, name: str = "", event_id: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    lines = [f"id: {event_id}"] if event_id else []
    lines += [f"event: {name}"] if name else []
    return "\n".join([*lines, f"data: {text}", "", ""]).encode()


# Counted events.


def counted(script: Script, last_event_id: str) -> Iterator[Step]:
    """Numbered events, from the one that this reader is to get."""
    start = _first_number(script, last_event_id)
    if script.retry:
        yield f"retry: {script.retry}\n".encode()
    count = (script.events or 1 << 30) - start + 1
    numbers = range(start, start + count)
    yield from _in_pace(script, (partial(_numbered, script, number) for number in numbers))
    if script.terminal:
        yield event(script.terminal, name="end")


def has_seen_all(script: Script, last_event_id: str) -> bool:
    return script.resume != "ignored" and _number_of(script, last_event_id) == script.events


def _first_number(script: Script, last_event_id: str) -> int:
    seen = _number_of(script, last_event_id)
    if script.resume == "ignored" or seen is None:
        return 1
    if seen == script.events:
        return 1 if script.after_end == "again" else script.events + 1
    return seen + {"exact": 1, "repeat": 0, "skip": 2}[script.resume]


def _number_of(script: Script, event_id: str) -> int | None:
    """The number of the event that has this id; None for none that was sent."""
    digits = event_id.removeprefix(_TEXT_ID)
    if not digits.isdecimal():
        return None
    return _DESCENDING_FROM - int(digits) if script.ids == "descending" else int(digits)


def _numbered(script: Script, number: int) -> bytes:
    data: dict[str, Any] = {"n": number}
    if script.stamp:
        data[script.stamp] = time.time()
    if script.size:
        data["padding"] = "x" * script.size
    ids = {
        "": "",
        "ascending": str(number),
        "gaps": "" if number % 3 == 0 else str(number),
        "duplicate": str(max(1, number // 2)),
        "descending": str(_DESCENDING_FROM - number),
        "text": f"{_TEXT_ID}{number}",
    }
    return event(data, event_id=ids[script.ids])


def _in_pace(script: Script, makers: Iterable[Callable[[], bytes]]) -> Iterator[Step]:
    """An interval between two events, the odd parts behind the second, and the silence before the last."""
    if script.first:
        yield script.first
    for number, (make, is_last) in enumerate(_with_last(iter(makers)), start=1):
        if number > 1:
            yield script.interval
        if is_last and script.silence:
            yield from _silence(script)
        each = make()
        yield each[:-1] if is_last and script.last == "open" else each
        if number == 2 and script.odd:
            yield from (PARTS[part] for part in script.odd.split(","))


def _with_last(makers: Iterator[T]) -> Iterator[tuple[T, bool]]:
    """Each of these, and whether it is the last."""
    waiting = next(makers, None)
    while waiting is not None:
        after = next(makers, None)
        yield waiting, after is None
        waiting = after


def _made(events: Iterable[bytes]) -> Iterator[Callable[[], bytes]]:
    """Makers of events that do not say when they are made."""
    return (partial(bytes, each) for each in events)


def _silence(script: Script) -> Iterator[Step]:
    if not script.heartbeat:
        yield script.silence
        return
    form = {
        "comment": b": keep-alive\n\n",
        "line": b": keep-alive\n",
        "event": event({"type": "ping"}, name="ping"),
    }[script.heartbeat_form]
    for _ in range(int(script.silence / script.heartbeat)):
        yield script.heartbeat
        yield form


# Answers of APIs.


def openai(script: Script) -> Iterator[Step]:
    """A chat completion: a role, words, a finish_reason, and [DONE]."""
    yield from _in_pace(script, _made(_openai_chunks(script)))
    if script.error < 0:
        yield from (event("[DONE]") for _ in range(script.done))


def _openai_chunks(script: Script) -> Iterator[bytes]:
    for number in range(1, script.events + 1):
        if number - 1 == script.error:
            error = {"message": "the model is overloaded", "type": "server_error", "code": 503}
            yield event({"error": error})
            return
        if number == script.malformed:
            yield event(_BROKEN)
            continue
        delta: dict[str, str] = {"content": f"{_WORDS[number % len(_WORDS)]} "}
        if number == 1:
            delta = {"role": "assistant", "content": ""}
        if number == script.events:
            delta = {}
        reason = "stop" if number == script.events and script.finish else None
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield event(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": "zoo",
                "choices": [choice],
            }
        )


def anthropic(script: Script) -> Iterator[Step]:
    """A message: six kinds of events, whose names stand in their data, too."""
    return _in_pace(script, _made(_anthropic_events(script)))


def _anthropic_events(script: Script) -> Iterator[bytes]:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "zoo",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    if script.error == 0:
        yield _OVERLOADED
        return
    yield _typed("message_start", message=message)
    yield _typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield _typed("ping")
    for number in range(1, script.events + 1):
        if number - 1 == script.error:
            yield _OVERLOADED
            return
        if number == script.malformed:
            yield event(_BROKEN, name="content_block_delta")
            continue
        text = f"{_WORDS[number % len(_WORDS)]} "
        yield _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
    yield _typed("content_block_stop", index=0)
    yield _typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    if script.done:
        yield _typed("message_stop")


def _typed(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, name=kind)


_OVERLOADED = _typed("error", error={"type": "overloaded_error", "message": "Overloaded"})


def mcp(script: Script, answer: bytes = b"") -> Iterator[Step]:
    """A Model Context Protocol server that reports the progress of a tool. answer: the last message"""
    return _in_pace(script, _made(_mcp_messages(script, answer)))


def _mcp_messages(script: Script, answer: bytes) -> Iterator[bytes]:
    for number in range(1, script.events + 1):
        if number == script.malformed:
            yield event(_BROKEN, name="message")
            continue
        params = {"progressToken": "zoo", "progress": number, "total": script.events}
        message = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        yield event(message, name="message")
    if script.done and answer:
        yield answer


def mcp_answer(asked: dict[str, Any]) -> bytes:
    """The answer to a call of a tool, or to ``initialize``."""
    result: dict[str, Any] = {"content": [{"type": "text", "text": "counted"}]}
    if asked.get("method") == "initialize":
        result = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "zoo", "version": "1"},
        }
    return event({"jsonrpc": "2.0", "id": asked.get("id"), "result": result}, name="message")
