"""The browser's parser against the same vectors as the server's."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.demo_page import DemoPage

VECTORS = json.loads(
    (Path(__file__).parents[1] / "unit" / "parser-vectors.json").read_text(encoding="utf-8")
)["vectors"]

PARSE_ALL = """async (streams) => {
    const {EventParser} = await import("/static/js/event-parser.js");
    return streams.map(chunks => {
        const events = [], comments = [];
        const parser = new EventParser({
            onEvent: event => events.push(event),
            onComment: comment => comments.push(comment),
        });
        for (const chunk of chunks) {
            parser.feed(Uint8Array.from(atob(chunk), character => character.charCodeAt(0)));
        }
        return {events, comments, last_event_id: parser.lastEventId, retry: parser.retry};
    });
}"""


def byte_by_byte(chunks: list[bytes]) -> list[bytes]:
    return [bytes([byte]) for byte in b"".join(chunks)]


@pytest.mark.parametrize(
    "cut",
    [list, lambda chunks: [b"".join(chunks)], byte_by_byte],
    ids=["as-given", "whole", "byte-by-byte"],
)
def test_vectors_are_parsed_alike_however_they_are_cut(
    demo: DemoPage, cut: Callable[[list[bytes]], list[bytes]]
) -> None:
    streams = [cut([base64.b64decode(chunk) for chunk in v["chunks_b64"]]) for v in VECTORS]
    encoded = [[base64.b64encode(chunk).decode() for chunk in chunks] for chunks in streams]
    # All at once: going to the browser and back costs more than the parsing.
    results = demo.page.evaluate(PARSE_ALL, encoded)
    actual = {v["name"]: result for v, result in zip(VECTORS, results, strict=True)}
    assert actual == {v["name"]: expected(v, actual[v["name"]]) for v in VECTORS}


def expected(vector: dict[str, Any], actual: dict[str, Any]) -> dict[str, Any]:
    # Most vectors are not about comments and do not list theirs.
    comments = vector.get("comments", actual["comments"])
    return {"events": vector["expected"], "comments": comments, **vector["final"]}
