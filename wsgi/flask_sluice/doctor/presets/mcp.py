"""The Model Context Protocol over Streamable HTTP."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask_sluice import __version__
from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.sse.event import ReceivedEvent

_PROTOCOL_VERSION = "2025-06-18"
_ACCEPT = "application/json, text/event-stream"


@dataclass(frozen=True)
class McpPreset(Preset):
    """The answer to ``initialize``, or the stream of a session's notifications if the server has one."""

    name = "mcp"
    data_is_json = True

    def opened(self, ask: Callable[[HttpRequest], Recording]) -> "McpPreset":
        """Return the preset for a stream that stays open: GET with the session's id, if the server offers it.

        ask: sends a request and returns the answer
        """
        if self.target.body is not None:
            return self
        initialize = self._initialize()
        session = ask(initialize).header("Mcp-Session-Id")
        headers = {**self.target.headers, "Accept": "text/event-stream"}
        if session:
            headers["Mcp-Session-Id"] = session
        stream = replace(self.target, method="GET", headers=headers)
        return McpPreset(stream if ask(stream).is_event_stream else initialize)

    def is_terminal(self, event: ReceivedEvent) -> bool:
        return '"result"' in event.data or '"error"' in event.data

    def _initialize(self) -> HttpRequest:
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": _PROTOCOL_VERSION,
                "capabilities": {},
                "clientInfo": {"name": "sluice-doctor", "version": __version__},
            },
        }
        headers = {**self.target.headers, "Accept": _ACCEPT}
        return replace(self.target, method="POST", headers=headers, body=json.dumps(call).encode())
