"""Clients of the revisions before 2026-07-28, which begin with `initialize` and name their version in a header alone."""

import pytest

from flask_sluice.testing import read_events
from tests.examples.mcp_server.messages import OLDER_VERSIONS, error_of, older, send, text_of


@pytest.mark.parametrize("version", OLDER_VERSIONS)
def test_initialize_agrees_to_a_version_that_it_knows(client, version):
    result = send(client, older("initialize", None, protocolVersion=version)).json["result"]
    assert result["protocolVersion"] == version
    assert result["capabilities"] == {"tools": {}}
    assert result["serverInfo"]["name"] == "sluice-example"


@pytest.mark.parametrize("version", ["2024-11-05", "2026-07-28", "2030-01-01", ""])
def test_initialize_offers_its_newest_for_a_version_that_it_does_not_know(client, version):
    result = send(client, older("initialize", None, protocolVersion=version)).json["result"]
    assert result["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize("version", [*OLDER_VERSIONS, None])
def test_an_older_client_lists_and_calls_the_tools(client, version):
    listed = send(client, older("tools/list", version)).json["result"]["tools"]
    assert [tool["name"] for tool in listed] == ["count_words", "read_pages"]
    quick = older("tools/call", version, name="count_words", arguments={"text": "a b"})
    assert text_of(send(client, quick).json) == "2 words"
    slow = {"pages": 2, "seconds": 0}
    meta = {"progressToken": 1}
    request = older("tools/call", version, name="read_pages", arguments=slow, _meta=meta)
    stream = read_events(client, "/mcp", **request)
    assert [event.json().get("method") for event in stream.events] == [
        "notifications/progress",
        "notifications/progress",
        None,
    ]
    assert text_of(stream.events[-1].json()) == "2 pages read"


def test_the_answer_to_ping_is_empty(client):
    assert send(client, older("ping")).json == {"jsonrpc": "2.0", "id": 7, "result": {}}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (older("server/discover"), -32601),
        (older("prompts/list"), -32601),
        (older("tools/call", name="other"), -32602),
    ],
    ids=["newer method", "no method", "no tool"],
)
def test_an_error_comes_with_the_status_200_as_older_clients_read_no_other(client, request_, code):
    assert error_of(send(client, request_)) == (200, code)


@pytest.mark.parametrize("version", ["2024-11-05", "2026-07-28", "1"])
def test_a_version_in_the_header_that_is_not_an_older_one_needs_the_same_in_meta(client, version):
    assert error_of(send(client, older("tools/list", version))) == (400, -32602)
