"""Requests as clients of MCP send them, and what there is to read in the answers."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

VERSION = "2026-07-28"
OLDER_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
PREFIX = "io.modelcontextprotocol/"
META = {f"{PREFIX}protocolVersion": VERSION, f"{PREFIX}clientCapabilities": {}}


def message(method: str, **fields: Any) -> dict[str, Any]:
    """Return a request as a client of the revision sends it: what the test client takes."""
    params = {**fields, "_meta": {**META, **fields.get("_meta", {})}}
    headers = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method}
    if method == "tools/call":
        headers["Mcp-Name"] = params["name"]
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return {"method": "POST", "json": body, "headers": headers}


def call(name: str, *, token: int | str | None = None, **arguments: Any) -> dict[str, Any]:
    meta = {} if token is None else {"progressToken": token}
    return message("tools/call", name=name, arguments=arguments, _meta=meta)


def older(method: str, version: str | None = "2025-11-25", **params: Any) -> dict[str, Any]:
    """Return a request as a client of an older revision sends it."""
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return {
        "method": "POST",
        "json": body,
        "headers": version and {"MCP-Protocol-Version": version},
    }


def open_with(client: FlaskClient, request: dict[str, Any], **headers: str) -> TestResponse:
    return client.open("/mcp", **{**request, "headers": {**request["headers"], **headers}})


def send(client: FlaskClient, request: dict[str, Any]) -> TestResponse:
    return client.open("/mcp", **request)


def error_of(response: TestResponse) -> tuple[int, int]:
    """Return the status and the code of a refusal of the request with id 7."""
    assert response.json is not None
    assert response.json["id"] == 7
    return response.status_code, response.json["error"]["code"]


def text_of(answer: dict[str, Any]) -> str:
    (block,) = answer["result"]["content"]
    assert block["type"] == "text"
    return block["text"]
