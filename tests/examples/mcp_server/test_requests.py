"""Which requests the MCP server takes and which it refuses, by revision 2026-07-28 ("Streamable HTTP")."""

import base64

import pytest

from tests.examples.mcp_server.messages import (
    PREFIX,
    VERSION,
    call,
    error_of,
    message,
    open_with,
    send,
    text_of,
)


def test_a_body_that_is_too_long_is_refused(client):
    assert send(client, call("count_words", text="a" * 1_000_000)).status_code == 413


def test_a_notification_is_accepted_without_an_answer(client):
    for method in ("notifications/cancelled", "notifications/initialized", "notifications/other"):
        response = client.post("/mcp", json={"jsonrpc": "2.0", "method": method})
        assert (response.status_code, response.data) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "PATCH"])
def test_the_endpoint_takes_post_alone(client, method):
    response = client.open("/mcp", method=method, headers={"Accept": "text/event-stream"})
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


def test_sessions_and_resuming_are_ignored(client):
    request = call("count_words", text="a")
    response = open_with(client, request, **{"Mcp-Session-Id": "s", "Last-Event-ID": "3"})
    assert response.status_code == 200
    assert "Mcp-Session-Id" not in response.headers


def test_discover_tells_the_version_and_what_the_server_can(client):
    result = send(client, message("server/discover")).json["result"]
    assert (result["resultType"], result["supportedVersions"]) == ("complete", [VERSION])
    assert result["capabilities"] == {"tools": {}}
    assert (result["ttlMs"] >= 0, result["cacheScope"]) == (True, "public")


def test_the_list_of_tools_has_the_schemas_of_their_arguments(client):
    result = send(client, message("tools/list")).json["result"]
    tools = {tool["name"]: tool for tool in result["tools"]}
    assert list(tools) == ["count_words", "read_pages"]
    assert all(tool["description"] for tool in tools.values())
    schema = tools["count_words"]["inputSchema"]
    assert (schema["type"], schema["required"]) == ("object", ["text"])
    assert schema["properties"] == {"text": {"type": "string"}}
    assert (result["ttlMs"] >= 0, result["cacheScope"]) == (True, "public")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example#localhost",
        "http://localhost@evil.example",
        "http://127.0.0.1.nip.io:8000",
        "http://[::1",
        "null",
        "localhost",
    ],
)
def test_a_page_of_another_site_is_refused(client, origin):
    response = open_with(client, call("count_words", text="a"), Origin=origin)
    assert response.status_code == 403
    assert "id" not in response.json
    assert response.json["error"]["code"] == -32600


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "http://localhost:8000", "https://127.0.0.1:1", "http://[::1]:8000"],
)
def test_a_page_of_this_machine_may_call(client, origin):
    response = open_with(client, call("count_words", text="a"), Origin=origin)
    assert response.status_code == 200


def test_a_page_of_an_allowed_origin_may_call(example, client, monkeypatch):
    monkeypatch.setattr(example, "ORIGINS", ["https://app.example"])
    request = call("count_words", text="a")
    assert open_with(client, request, Origin="https://app.example").status_code == 200
    assert open_with(client, request, Origin="https://app.example:444").status_code == 403
    assert open_with(client, request, Origin="http://app.example").status_code == 403


@pytest.mark.parametrize("name", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
@pytest.mark.parametrize("value", [None, "", "TOOLS/CALL", "other", "=?base64?AAA?="])
def test_a_header_that_does_not_agree_with_the_message_is_refused(client, name, value):
    request = call("count_words", text="a")
    request["headers"].pop(name)
    headers = {} if value is None else {name: value}
    assert error_of(open_with(client, request, **headers)) == (400, -32020)


@pytest.mark.parametrize("tool", ["wörter", " padded ", "=?base64?x?="])
def test_a_name_that_is_not_plain_text_comes_as_base64(example, client, tool):
    example.TOOLS[tool] = example.CountWords
    request = call(tool, text="a b")
    request["headers"]["Mcp-Name"] = f"=?base64?{base64.b64encode(tool.encode()).decode()}?="
    assert text_of(send(client, request).json) == "2 words"


def test_base64_with_other_characters_is_refused(client):
    encoded = base64.b64encode(b"count_words").decode()
    request = call("count_words", text="a")
    request["headers"]["Mcp-Name"] = f"=?base64?{encoded[:4]}!!{encoded[4:]}?="
    assert error_of(send(client, request)) == (400, -32020)


@pytest.mark.parametrize(
    "meta",
    [
        {f"{PREFIX}protocolVersion": None},
        {f"{PREFIX}clientCapabilities": None},
        {f"{PREFIX}protocolVersion": 20260728},
        {f"{PREFIX}clientCapabilities": []},
        {"progressToken": 1.5},
    ],
)
def test_a_request_without_what_every_request_has_to_say_is_refused(client, meta):
    assert error_of(send(client, message("tools/list", _meta=meta))) == (400, -32602)


@pytest.mark.parametrize("params", [{}, {"_meta": {}}, {"_meta": 5}])
def test_a_request_without_meta_is_refused(client, params):
    request = message("tools/list")
    request["json"]["params"] = params
    assert error_of(send(client, request)) == (400, -32602)


@pytest.mark.parametrize("version", ["2027-01-01", "2025-11-25", "1.0"])
def test_another_version_is_refused_with_the_one_that_is_spoken(client, version):
    request = message("tools/list", _meta={f"{PREFIX}protocolVersion": version})
    response = open_with(client, request, **{"MCP-Protocol-Version": version})
    assert error_of(response) == (400, -32022)
    assert response.json["error"]["data"] == {"supported": [VERSION], "requested": version}


@pytest.mark.parametrize("method", ["initialize", "ping", "prompts/list", "Tools/List", ""])
def test_an_unknown_method_is_refused(client, method):
    assert error_of(send(client, message(method))) == (404, -32601)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":' + b"[" * 100_000, -32700),
        (b"null", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]', -32600),
        (b'{"id":1,"method":"tools/list"}', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"tools/list"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}', -32600),
    ],
)
def test_a_body_that_is_not_a_request_is_refused(client, body, code):
    response = client.post("/mcp", data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.json["error"]["code"] == code
