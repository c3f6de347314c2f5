"""The parser in the browser, with the same vectors as the parser in Python."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.event_server import EventServer

pytestmark = pytest.mark.slow

VECTORS = json.loads(
    (Path(__file__).parents[1] / "unit" / "parser-vectors.json").read_text(encoding="utf-8")
)["vectors"]

CUTS = {
    "as-given": "(chunks) => chunks",
    "whole": "(chunks) => [Uint8Array.from(chunks.flatMap((chunk) => [...chunk]))]",
    "byte-by-byte": "(chunks) => chunks.flatMap((chunk) => Array.from(chunk, (byte) => Uint8Array.of(byte)))",
}

PARSE_ALL = """async ([streams, cut]) => {
    const {EventParser} = await import("/static/js/fetch-event-source/event-parser.js");
    const bytesOf = (chunk) => Uint8Array.from(atob(chunk), (character) => character.charCodeAt(0));
    return streams.map((chunks) => {
        const events = [], comments = [];
        const parser = new EventParser({
            onEvent: (event) => events.push(event),
            onComment: (comment) => comments.push(comment),
        });
        (0, eval)(cut)(chunks.map(bytesOf)).forEach((chunk) => parser.feed(chunk));
        return {events, comments, last_event_id: parser.lastEventId, retry: parser.retry};
    });
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[EventServer]:
    with EventServer() as server:
        yield server


@pytest.mark.parametrize("cut", CUTS)
def test_vectors_are_parsed_alike_however_they_are_cut(
    page: Page, server: EventServer, cut: str
) -> None:
    page.goto(server.url)
    # All streams in one call, because a call to the browser costs more than the parsing.
    streams = [vector["chunks_b64"] for vector in VECTORS]
    results = page.evaluate(PARSE_ALL, [streams, CUTS[cut]])
    actual = {v["name"]: result for v, result in zip(VECTORS, results, strict=True)}
    assert actual == {v["name"]: expected(v, actual[v["name"]]) for v in VECTORS}


def expected(vector: dict[str, Any], actual: dict[str, Any]) -> dict[str, Any]:
    # Most vectors do not list their comments.
    comments = vector.get("comments", actual["comments"])
    return {"events": vector["expected"], "comments": comments, **vector["final"]}
