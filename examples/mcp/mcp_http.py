"""MCP over HTTP, revision 2026-07-28: which requests are in order, and the messages that answer them.

Clients of older revisions begin with `initialize`; in later requests they send a header with the version, but none in `_meta`.
"""

import base64
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from werkzeug.datastructures import Headers

VERSION = "2026-07-28"
OLDER_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
PREFIX = "io.modelcontextprotocol/"
SERVER = {"name": "sluice-example", "version": "1.0.0"}
Json = dict[str, Any]
Id = int | str | msgspec.UnsetType


class RpcError(Exception):
    """An error for the client: JSON-RPC's code, a text, the response's status and further data."""

    def __init__(self, code: int, text: str, status: int = 400, data: Json | None = None) -> None:
        super().__init__(text)
        self.code, self.status, self.data = code, status, data


class Message(msgspec.Struct):
    """A JSON-RPC request, or a notification if it has no id."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Id = msgspec.UNSET
    params: Json = {}


class Meta(msgspec.Struct):
    version: str | None = msgspec.field(name=f"{PREFIX}protocolVersion", default=None)
    capabilities: Json | None = msgspec.field(name=f"{PREFIX}clientCapabilities", default=None)
    progress_token: int | str | None = msgspec.field(name="progressToken", default=None)


class Params(msgspec.Struct):
    meta: Meta = msgspec.field(name="_meta", default_factory=Meta)
    name: str = ""
    arguments: Json = {}
    older_version: str = msgspec.field(name="protocolVersion", default="")


def read_message(body: bytes) -> Message:
    try:
        return msgspec.json.decode(body, type=Message)
    except msgspec.ValidationError as error:
        raise RpcError(-32600, f"Invalid request: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RpcError(-32700, f"Parse error: {error}") from error


def read_params(message: Message) -> Params:
    try:
        return msgspec.convert(message.params, Params)
    except msgspec.ValidationError as error:
        raise RpcError(-32602, f"Invalid params: {error}") from error


def is_older(params: Params, headers: Headers) -> bool:
    """Whether the client speaks an older revision."""
    return params.meta.version is None and headers.get("MCP-Protocol-Version") in (
        None,  # `initialize`, and the oldest of the revisions
        *OLDER_VERSIONS,
    )


def check_version(message: Message, params: Params, headers: Headers) -> None:
    """Raise RpcError unless the message has this version, and the headers, by which proxies route, agree with it."""
    meta = params.meta
    if meta.version is None or meta.capabilities is None:
        raise RpcError(-32602, "Invalid params: no protocolVersion or clientCapabilities in _meta")
    expected = {"MCP-Protocol-Version": meta.version, "Mcp-Method": message.method}
    if message.method == "tools/call":
        expected["Mcp-Name"] = params.name
    for name, value in expected.items():
        if name not in headers or _decoded(headers[name]) != value:
            raise RpcError(-32020, f"Header mismatch: {name} is not {value!r}, as in the message")
    if meta.version != VERSION:
        data = {"supported": [VERSION], "requested": meta.version}
        raise RpcError(-32022, "Unsupported protocol version", data=data)


def check_origin(origin: str | None, allowed: list[str]) -> None:
    """Refuse pages of other sites, which would reach a server on the user's machine by DNS rebinding."""
    try:
        host = urlsplit(origin or "http://localhost").hostname
    except ValueError:
        host = None
    if host not in ("localhost", "127.0.0.1", "::1") and origin not in allowed:
        raise RpcError(-32600, "Invalid request: pages of this origin may not call", 403)


def success(message_id: Id, **fields: object) -> Json:
    # The answer to `ping`, which older revisions have, is empty.
    about = {"resultType": "complete", "_meta": {f"{PREFIX}serverInfo": SERVER}} if fields else {}
    return {"jsonrpc": "2.0", "id": message_id, "result": {**about, **fields}}


def tool_text(message_id: Id, text: str, *, is_error: bool = False) -> Json:
    return success(message_id, content=[{"type": "text", "text": text}], isError=is_error)


def failure(message_id: Id, error: RpcError) -> Json:
    """Return the message that tells of an error. message_id: msgspec.UNSET if the request had none that can be read"""
    told: Json = {"code": error.code, "message": str(error)}
    if error.data is not None:
        told["data"] = error.data
    answered = {} if message_id is msgspec.UNSET else {"id": message_id}
    return {"jsonrpc": "2.0", **answered, "error": told}


def progress(token: int | str, done: float, total: float, text: str) -> Json:
    params = {"progressToken": token, "progress": done, "total": total, "message": text}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def _decoded(header: str) -> str:
    """Return a header's text. Text that is not plain ASCII is sent as base64."""
    if not (header.startswith("=?base64?") and header.endswith("?=")):
        return header
    try:
        return base64.b64decode(header[9:-2], validate=True).decode()
    except ValueError as error:
        raise RpcError(-32020, f"Header mismatch: {header!r} is not base64") from error
