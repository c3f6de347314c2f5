"""What a stream makes of the items of a generator: text and bytes may be cut anywhere, and only whole events go out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.sse import Event, EventParser
from flask_sluice.stream.feeds.encode_items import ItemEncoder
from flask_sluice.stream.feeds.item_errors import check_items

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
LINES = st.sampled_from(
    ["data: a", "data:", "data", "data: [DONE]", "event: done", "id: 7", ": ping", "retry: 5"]
)


@st.composite
def streams(draw):
    """The text of a few events, each with one kind of line ends."""
    text = ""
    for lines in draw(st.lists(st.lists(LINES, min_size=1, max_size=4), min_size=1, max_size=4)):
        end = draw(LINE_ENDS)
        text += end.join([*lines, f"data: {draw(st.text('aä😀 :', max_size=5))}"]) + end + end
    return text


@st.composite
def cut_streams(draw):
    """A stream's text, and the same in pieces of text or bytes."""
    text = draw(streams())
    whole = text if draw(st.booleans()) else text.encode()
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [
        whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)
    ]
    return text, pieces


@given(cut_streams())
def test_pieces_go_out_as_they_came(cut):
    text, pieces = cut
    encoder = ItemEncoder()
    assert b"".join(map(encoder.encode, pieces)) == text.encode()
    encoder.finish()


@given(cut_streams())
def test_nothing_but_whole_events_and_comments_goes_out(cut):
    _, pieces = cut
    encoder = ItemEncoder()
    sent = b""
    for piece in pieces:
        sent += encoder.encode(piece)
        # An event of the stream's own, put here, is not taken for a part of what was sent.
        with_another = EventParser().feed(sent + b"event: error\ndata: x\n\n" + b"\n")
        alone = EventParser().feed(sent + b"\n\n")
        assert with_another[:-1] == alone
        assert (with_another[-1].event, with_another[-1].data) == ("error", "x")


@given(cut_streams())
def test_the_last_event_is_known_to_be_terminal_however_it_was_cut(cut):
    text, pieces = cut
    encoder = ItemEncoder()
    for piece in pieces:
        encoder.encode(piece)
    is_terminal = [
        event.event == "done" or event.data == "[DONE]"
        for event in EventParser().feed(text.encode())
    ]
    # Where several events come in one piece, each of them counts.
    assert is_terminal[-1] <= encoder.has_terminal_event <= any(is_terminal)


@pytest.mark.parametrize("character", ["ä", "€", "😀"])
def test_a_character_may_be_cut(character):
    encoder = ItemEncoder()
    text = f"data: {character}\n\n".encode()
    assert b"".join(encoder.encode(text[at : at + 1]) for at in range(len(text))) == text


def test_half_of_a_surrogate_pair_becomes_a_question_mark():
    assert ItemEncoder().encode("data: \ud83d\n\n") == b"data: ?\n\n"


def test_a_byte_order_mark_may_open_the_stream():
    encoder = ItemEncoder()
    assert encoder.encode("\ufeffdata: a\n\n") == "\ufeffdata: a\n\n".encode()


def test_an_event_object_cannot_come_inside_of_an_event():
    encoder = ItemEncoder()
    encoder.encode("data: ha")
    with pytest.raises(ValueError, match="ha"):
        encoder.encode(Event(data="b"))


def test_an_unfinished_event_is_an_error_that_says_what_to_do():
    encoder = ItemEncoder()
    encoder.encode("data: ha")
    with pytest.raises(ValueError, match=r"wrap it in Event\(data=…\)"):
        encoder.finish()


@pytest.mark.parametrize("text", ["Hello", "{}", "datum: a", " data: a", "<p>"])
def test_text_that_is_no_event_is_an_error_at_once(text):
    with pytest.raises(ValueError, match=r"wrap it in Event\(data=…\)"):
        ItemEncoder().encode(text)


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ({}, r"Event\.json"),
        (1, r"Event\.json"),
        ([b"data: a\n\n"], r"Event\.json"),
        (None, "leave out a `yield` without a value"),
        (bytearray(b"data: a\n\n"), r"bytes\(\)"),
    ],
)
def test_another_object_is_an_error_that_says_what_to_do(item, hint):
    with pytest.raises(TypeError, match=hint):
        ItemEncoder().encode(item)


def test_comments_do_not_end_the_terminal_state():
    encoder = ItemEncoder()
    encoder.encode(Event(event="done", data="x"))
    encoder.encode(": saving\n\n")
    encoder.encode(Event(comment="saving"))
    assert encoder.has_terminal_event
    encoder.encode("data: more\n\n")
    assert not encoder.has_terminal_event


def test_the_app_says_which_event_is_terminal():
    encoder = ItemEncoder(lambda event: event.event == "end")
    encoder.encode("event: done\ndata: x\n\n")
    assert not encoder.has_terminal_event
    encoder.encode("event: e")
    encoder.encode("nd\ndata: x\n\n")
    assert encoder.has_terminal_event


async def asynchronous():
    yield b""


class WithResponse:
    def iter_encoded(self):
        return iter(())

    __iter__ = iter_encoded


@pytest.mark.parametrize(
    ("items", "hint"),
    [
        (lambda: iter(()), "call it"),
        (asynchronous, "asynchronous generator"),
        (asynchronous(), "instead of `async def`"),
        (WithResponse(), "the generator itself"),
        ("data: a\n\n", "iterable of events, not one str"),
        (b"data: a\n\n", "iterable of events, not one bytes"),
        ({"a": 1}, "iterable of events, not one dict"),
        (Event(data="a"), "iterable of events, not one Event"),
        (None, "iterable of events, not one NoneType"),
        (5, "iterable of events, not one int"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_iterable_of_events_is_refused_with_a_hint(items, hint):
    with pytest.raises(TypeError, match=hint):
        check_items(items)
