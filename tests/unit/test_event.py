"""Events as bytes: what is meant is what is sent, and no field can smuggle in another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.sse import Event, ReceivedEvent

NOT_LINE_ENDS = ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85"]
"""str.splitlines() cuts at these; the standard does not."""

any_text = st.text(st.characters())  # With lone surrogates, which st.text() leaves out.
any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_all_fields_are_written_in_a_fixed_order():
    event = Event(data="a", event="tick", id="7", retry=1500, comment="c")
    assert event.encode() == b": c\nevent: tick\nid: 7\nretry: 1500\ndata: a\n\n"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event(data="a"), b"data: a\n\n"),
        (Event(event="tick"), b"event: tick\n\n"),
        (Event(id="7"), b"id: 7\n\n"),
        (Event(retry=0), b"retry: 0\n"),
        (Event(comment="c"), b": c\n"),
        (Event(), b""),
        (Event(comment=[]), b""),
    ],
)
def test_a_field_that_is_not_given_is_not_written(event, expected):
    assert event.encode() == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event(data=""), b"data: \n\n"),
        (Event(event=""), b"event: \n\n"),
        (Event(id=""), b"id: \n\n"),
        (Event(comment=""), b": \n"),
    ],
)
def test_an_empty_field_is_written(event, expected):
    assert event.encode() == expected


# Several clients make an empty event of a blank line behind a comment.
@pytest.mark.parametrize(
    ("field", "start", "blank_line"), [("data", b"data: ", b"\n"), ("comment", b": ", b"")]
)
class TestTextOfSeveralLines:
    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
    def test_is_cut_at_each_line_end_and_sent_with_lf(self, field, start, blank_line, end):
        event = Event(**{field: f"a{end}b{end}"})
        assert event.encode() == start + b"a\n" + start + b"b\n" + start + b"\n" + blank_line

    def test_keeps_its_empty_lines(self, field, start, blank_line):
        event = Event(**{field: "\n\r\r\na"})
        expected = start + b"\n" + start + b"\n" + start + b"\n" + start + b"a\n"
        assert event.encode() == expected + blank_line

    @pytest.mark.parametrize("character", NOT_LINE_ENDS)
    def test_is_not_cut_at_other_separators(self, field, start, blank_line, character):
        event = Event(**{field: f"a{character}b"})
        assert event.encode() == start + f"a{character}b\n".encode() + blank_line


def test_leading_space_is_kept_behind_the_space_of_the_format():
    assert Event(data=" a").encode() == b"data:  a\n\n"


@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
@pytest.mark.parametrize("field", ["event", "id"])
def test_a_line_end_or_nul_in_event_or_id_is_refused(field, character):
    with pytest.raises(ValueError, match=f"^{field} must not contain CR, LF or NUL"):
        Event(**{field: f"a{character}b"})


@pytest.mark.parametrize("character", NOT_LINE_ENDS)
@pytest.mark.parametrize("field", ["event", "id"])
def test_other_separators_in_event_or_id_are_sent(field, character):
    assert Event(**{field: character}).encode() == f"{field}: {character}\n\n".encode()


@pytest.mark.parametrize("retry", [-1, 1.0, 1.5, True, False, "1", b"1"])
def test_a_retry_that_is_not_a_whole_number_is_refused(retry):
    with pytest.raises(ValueError, match="retry takes whole milliseconds"):
        Event(retry=retry)


@pytest.mark.parametrize("data", [{"a": 1}, ["a"], 1])
def test_data_that_is_not_text_is_refused_with_a_hint_at_event_json(data):
    with pytest.raises(TypeError, match=rf"{type(data).__name__}; Event\.json\(value\)"):
        Event(data=data)


@pytest.mark.parametrize("value", [None, True, 1.5, "text\n", [1, {"a": None}], {"é": "\u2028"}])
def test_event_json_sends_any_value_as_one_line_of_json(value):
    name, _, line = Event.json(value).encode().partition(b": ")
    assert name == b"data"
    assert line.count(b"\n") == 2
    assert json.loads(line) == value


def test_event_json_takes_the_other_fields_too():
    event = Event.json(1, event="tick", id="7", retry=5, comment=["a", "b\nc"])
    assert event.encode() == b": a\n: b\n: c\nevent: tick\nid: 7\nretry: 5\ndata: 1\n\n"


def test_a_value_that_cannot_be_json_is_refused():
    with pytest.raises(TypeError, match="object"):
        Event.json(object())


def test_a_comment_in_a_list_must_be_text():
    with pytest.raises(TypeError, match="comment takes text, got int"):
        Event(comment=["a", 5])


def test_an_event_cannot_be_changed_after_it_was_checked():
    event = Event(id="7")
    with pytest.raises(AttributeError):
        event.id = "7\ndata: x"


@pytest.mark.parametrize(
    ("field", "end"),
    [("data", "\n\n"), ("event", "\n\n"), ("id", "\n\n"), ("comment", "\n")],
)
class TestSurrogates:
    def test_alone_become_the_replacement_character(self, field, end):
        sent = Event(**{field: "a\ud83db\ude00"}).encode().decode()
        assert sent.endswith(": a\ufffdb\ufffd" + end)

    def test_in_pairs_become_the_character_that_they_mean(self, field, end):
        sent = Event(**{field: "\ud83d\ude00\udc00"}).encode().decode()
        assert sent.endswith(": 😀\ufffd" + end)


def test_a_byte_order_mark_survives_beside_a_lone_surrogate():
    # The way through UTF-16 must not take it for that encoding's own mark.
    assert Event(comment="\ufeff\ud800").encode() == ": \ufeff\ufffd\n".encode()


@given(any_text)
def test_any_text_becomes_valid_utf8(text):
    assert Event(data=text).encode().decode().startswith("data: ")


def test_a_received_event_can_be_sent_on():
    assert (
        ReceivedEvent("a", "tick", "7", 5).encode() == b"event: tick\nid: 7\nretry: 5\ndata: a\n\n"
    )


def test_a_received_event_that_cannot_be_sent_is_refused_when_it_is_encoded():
    # A stranger's type may carry NUL, so that having received it must not fail.
    received = ReceivedEvent("a", "ti\0ck", "")
    with pytest.raises(ValueError, match="event must not contain"):
        received.encode()


@pytest.mark.parametrize("field", ["event", "id", "comment"])
def test_a_field_that_is_not_text_is_refused_by_name(field):
    with pytest.raises(TypeError, match=f"{field} takes text, got int"):
        Event(**{field: 5})
