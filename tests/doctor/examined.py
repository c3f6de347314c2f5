"""Examines what a handler on a bare socket sends."""

from typing import Any

from flask_sluice.doctor import Check, Report, examine
from tests.server.raw_upstream import Handler, RawUpstream, streams


def examined(handler: Handler, *groups: str, path: str = "/events", **options: Any) -> Report:
    """Examine the answers of the handler. options: of ``examine``; no groups: framing"""
    with RawUpstream(handler) as server:
        url = f"http://{server.host}{path}"
        report = examine(url, groups=groups or ("framing",), **{"read_seconds": 0.4, **options})
    assert not report.problem, report.problem
    return report


def examined_chat(handler: Handler, *groups: str, **options: Any) -> Report:
    """The same for a chat completion."""
    return examined(handler, *groups, preset="openai", post=b"{}", **options)


def framing(name: str, *writes: bytes, **options: Any) -> Check:
    """The check of the framing of a stream that is written so, and ends properly."""
    return examined(streams(*writes), **options).check(f"framing.{name}")


def chat_framing(name: str, *writes: bytes) -> Check:
    return examined_chat(streams(*writes)).check(f"framing.{name}")
