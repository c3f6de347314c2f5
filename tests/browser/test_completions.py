"""Chunks as the servers in use send them: the page shows their text, and tells whole answers from half ones."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.demo_page import DemoPage
from tests.support.server import Server

pytestmark = pytest.mark.slow

QUESTION = "Why stream?"
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}


def data(*chunks: object) -> str:
    """Return the events of these chunks, each as JSON or as it is."""
    texts = (chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks)
    return "".join(f"data: {text}\n\n" for text in texts)


def says(content: object, **choice: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": content}, **choice}]}


def finishes(*reasons: object) -> dict[str, object]:
    choices = [{**STOP, "index": index, "finish_reason": r} for index, r in enumerate(reasons)]
    return {"choices": choices}


DONE = data("[DONE]")


@pytest.fixture(scope="module")
def loaded(browser: Browser, sluice: Server) -> Iterator[DemoPage]:
    """Yields one page for all cases."""
    with browser.new_context() as context:
        yield DemoPage(context.new_page(), sluice)


def answer_with(demo: DemoPage, body: str) -> None:
    demo.page.unroute_all()
    demo.page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(content_type="text/event-stream", body=body),
    )
    demo.ask(QUESTION)


HELLO = {
    "one choice": says("Hello"),
    "no index": {"choices": [{"delta": {"content": "Hello"}}]},
    "error null": {**says("Hello"), "error": None},
    "usage null": {**says("Hello"), "usage": None},
    "content is a list of parts": says([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]),
    "content is a list of texts": says(["Hel", "lo"]),
    "a part without a text": says([{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hello"}]),
}  # fmt: skip
SILENT = {
    "choices empty": {"choices": []},
    "choices null": {"choices": None},
    "choices missing": {"usage": {"completion_tokens": 3}},
    "a choice is null": {"choices": [None]},
    "delta null": {"choices": [{"index": 0, "delta": None}]},
    "delta missing": {"choices": [{"index": 0}]},
    "content null": says(None),
    "content empty": says(""),
    "content is an empty list": says([]),
    "only a role": {"choices": [{"index": 0, "delta": {"role": "assistant"}}]},
    "a tool call": {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]},
    "another choice": {"choices": [{"index": 1, "delta": {"content": "not shown"}}]},
    "no data": "",
    "blank data": " ",
}


@pytest.mark.parametrize("shape", HELLO)
def test_the_text_of_a_chunk_is_shown_in_every_shape(loaded: DemoPage, shape: str) -> None:
    answer_with(loaded, data(HELLO[shape]) + DONE)
    loaded.wait_for_state("done")
    assert loaded.answer.text_content() == "Hello"


@pytest.mark.parametrize("shape", SILENT)
def test_a_chunk_without_text_changes_nothing(loaded: DemoPage, shape: str) -> None:
    answer_with(loaded, data(says("Hel"), SILENT[shape], says("lo")) + DONE)
    loaded.wait_for_state("done")
    assert loaded.answer.text_content() == "Hello"


WHOLE = {
    "[DONE]": DONE,
    "[DONE] without a finish reason": data(says("more")) + DONE,
    "a finish reason": data(finishes("stop")),
    "a finish reason with text": data(says("", finish_reason="length")),
    "a finish reason, then usage": data(finishes("stop"), {"choices": [], "usage": {}}),
    "a finish reason, then chunks of null": data(finishes("stop"), finishes(None)),
    "a finish reason for each choice": data(finishes("stop", None), finishes(None, "length")),
    "[DONE] without a blank line": data(finishes("stop")) + "data: [DONE]",
}
HALF = {
    "nothing": "",
    "no finish reason": data(finishes(None)),
    "one of two choices": data(finishes("stop", None)),
    "another choice begins later": data(finishes("stop"), finishes("stop", None)),
    "[DONE] without a blank line, and no finish reason": "data: [DONE]",
}


@pytest.mark.parametrize("end", WHOLE)
def test_an_answer_with_done_or_all_its_finish_reasons_is_whole(loaded: DemoPage, end: str) -> None:
    answer_with(loaded, data(says("Hello")) + WHOLE[end])
    loaded.wait_for_state("done")


@pytest.mark.parametrize("end", HALF)
def test_an_answer_with_neither_is_cut_off(loaded: DemoPage, end: str) -> None:
    answer_with(loaded, data(says("Hello")) + HALF[end])
    loaded.wait_for_state("failed")
    expect(loaded.status).to_contain_text("cut off")


ERRORS = {
    "an object": (data({"error": {"message": "No memory.", "code": "oom"}}), "No memory. oom"),
    "a text": (data({"error": "No memory."}), "No memory."),
    "a numeric code": (data({"error": {"message": "No memory.", "code": 500}}), "No memory. 500"),
    "an event named error": ('event: error\ndata: {"message": "No memory."}\n\n', "No memory."),
    "an event named error with text": ("event: error\ndata: No memory.\n\n", "No memory."),
    "a finish reason": (data(finishes("error")), "The model's server failed"),
}


@pytest.mark.parametrize("shape", ERRORS)
def test_an_error_before_done_is_a_failure(loaded: DemoPage, shape: str) -> None:
    error, sentence = ERRORS[shape]
    answer_with(loaded, data(says("Hello")) + error + DONE)
    loaded.wait_for_state("failed")
    expect(loaded.status).to_contain_text(f"Failed. {sentence}")


REFUSALS = {
    '{"error": {"message": "No such model.", "code": null}}': "No such model.",
    '{"error": "No such model."}': "No such model.",
    '{"detail": "No such model."}': "No such model.",
    '{"message": "No such model."}': "No such model.",
    '{"error": {}}': "The server answered with HTTP status 404.",
    "null": "The server answered with HTTP status 404.",
    "<h1>No</h1>": "The server answered with HTTP status 404.",
}


@pytest.mark.parametrize("body", REFUSALS)
def test_a_refusal_gives_its_reason_in_every_shape(loaded: DemoPage, body: str) -> None:
    loaded.page.unroute_all()
    loaded.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=404, body=body))
    loaded.ask(QUESTION)
    loaded.wait_for_state("failed")
    expect(loaded.status).to_have_text(f"Failed. {REFUSALS[body]}")
