"""The Model Context Protocol over Streamable HTTP."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flask_sluice import __version__
from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.presets.preset import Preset, json_of
from flask_sluice.sse.event import ReceivedEvent

_PROTOCOL_VERSION = "2025-06-18"
_BROKEN_BODY = b'{"jsonrpc": "2.0", "id": 1, "method"'
_STREAM = "text/event-stream"
_EITHER = f"application/json, {_STREAM}"
Ask = Callable[[HttpRequest], Recording]


@dataclass(frozen=True)
class McpPreset(Preset):
    """The stream of a session's notifications, which the server may end at any time."""

    name = "mcp"
    data_is_json = True

    def broken_request(self) -> HttpRequest | None:
        request = self.target.with_headers(Accept=_EITHER, Last_Event_ID=None)
        return replace(request, method="POST", body=_BROKEN_BODY)

    def is_terminal(self, event: ReceivedEvent) -> bool:
        document = json_of(event)
        return (
            isinstance(document, dict)
            and document.get("id") is not None
            and ("result" in document or "error" in document)
        )


@dataclass(frozen=True)
class McpCallPreset(McpPreset):
    """The answer to one call."""

    must_end_with = "the JSON-RPC response to the call"

    def resume_request(self) -> HttpRequest | None:
        """The call is not made again: a GET with the id of its last event goes on with its stream."""
        return replace(self.target.with_headers(Accept=_STREAM), method="GET", body=None)


def open_mcp(target: HttpRequest, ask: Ask) -> McpPreset:
    """Begin a session, and return the preset for the stream in it: the user's own call (``--post``), the session's
    notifications (GET), or, where the server has no stream for them, the answer to ``initialize``.

    ask: sends a request and returns the answer
    """
    call = _document(target.body)
    initialize = _call(target, {"id": 1, "method": "initialize", "params": _params()})
    if call.get("method") == "initialize":
        return McpCallPreset(target.with_headers(Accept=_EITHER))
    answer = ask(initialize)
    if not answer.is_success:
        # A server without sessions, or one that says in the next answer what it wants.
        return McpCallPreset(
            initialize if target.body is None else target.with_headers(Accept=_EITHER)
        )
    target = target.with_headers(
        Mcp_Session_Id=answer.header("Mcp-Session-Id"), MCP_Protocol_Version=_PROTOCOL_VERSION
    )
    ask(_call(target, {"method": "notifications/initialized"}))
    if target.body is not None:
        return McpCallPreset(target.with_headers(Accept=_EITHER))
    stream = replace(target.with_headers(Accept=_STREAM), method="GET")
    return McpPreset(stream) if ask(stream).is_event_stream else McpCallPreset(initialize)


def _call(target: HttpRequest, call: dict[str, Any]) -> HttpRequest:
    body = json.dumps({"jsonrpc": "2.0", **call}).encode()
    return replace(target.with_headers(Accept=_EITHER), method="POST", body=body)


def _params() -> dict[str, Any]:
    client = {"name": "sluice-doctor", "version": __version__}
    return {"protocolVersion": _PROTOCOL_VERSION, "capabilities": {}, "clientInfo": client}


def _document(body: bytes | None) -> dict[str, Any]:
    """The user's call; {} if the body is none that can be read."""
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
