"""Which event says that an answer is complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.sse import Event
from flask_sluice.stream.feeds.encode_items import ItemEncoder
from flask_sluice.stream.feeds.terminal_event import is_terminal

TERMINAL = [
    b"data: [DONE]\n\n",
    b"data:[DONE]\r\n\r\n",
    b"event: done\ndata: {}\n\n",
    b"event:done\rdata\r\r",
    b": comment\nid: 7\nevent: done\r\ndata: a\ndata: b\n\n",
]
OTHERS = [
    b"",
    b"data: done\n\n",
    b"data: [DONE] is near\n\n",
    b"event: done\n\n",  # Without data a client sees no event.
    b": event: done\n\n",
    b"event: undone\ndata: x\n\n",
    b"data: a\ndata: [DONE]\n\n",
]


@pytest.mark.parametrize("event", [Event(data="[DONE]"), Event(event="done"), *TERMINAL], ids=repr)
def test_done_ends_an_answer_in_any_framing(event):
    assert is_terminal(event)


@pytest.mark.parametrize("event", [Event(data="done"), Event(event="end"), *OTHERS], ids=repr)
def test_what_only_looks_like_it_does_not(event):
    assert not is_terminal(event)


@given(st.sampled_from(TERMINAL), st.sampled_from(OTHERS), st.data())
def test_an_event_that_is_cut_anywhere_is_found_with_its_last_piece(terminal, other, data):
    body = other + terminal
    cuts = sorted(data.draw(st.sets(st.integers(1, len(body) - 1))))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    encoder = ItemEncoder()
    assert b"".join(map(encoder.encode, pieces)) == body
    assert encoder.has_terminal_event
