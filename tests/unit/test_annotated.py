"""An engine's annotated data: which event it becomes, and when it is the report of a failure."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.gateway.simulator.annotated import Annotated, EventError
from flask_sluice.sse import Event


@pytest.mark.parametrize("annotated", [Annotated(), Annotated(data=None), Annotated(comment=[])])
def test_an_item_without_data_and_annotations_sends_no_byte(annotated):
    assert annotated.encode() == b""


def test_annotated_data_becomes_json():
    assert Annotated(data={"text": "é\n", "n": [1, None]}).encode() == (
        'data: {"text":"é\\n","n":[1,null]}\n\n'.encode()
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [(0, b"0"), (False, b"false"), ("", b'""'), ([], b"[]"), ({}, b"{}")],
)
def test_annotated_data_that_is_false_is_data(data, expected):
    assert Annotated(data=data).encode() == b"data: " + expected + b"\n\n"


@pytest.mark.parametrize(
    ("annotated", "expected"),
    [
        (Annotated(event="tick"), Event(event="tick")),
        (Annotated(id="7"), Event(id="7")),
        (Annotated(comment=["a", "b"]), Event(comment="a\nb")),
        (Annotated(comment=[]), Event()),
        (
            Annotated(data=1, event="tick", id="7", comment=["a"]),
            Event(data="1", event="tick", id="7", comment="a"),
        ),
    ],
)
def test_annotations_become_the_fields_of_the_event(annotated, expected):
    assert annotated.to_event() == expected
    assert annotated.encode() == expected.encode()


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        (["a", "b"], "a -- b"),
        (["a"], "a"),
        (None, "unspecified error"),
        ([], "unspecified error"),
    ],
)
def test_an_annotated_error_is_raised_with_its_comments(comment, message):
    with pytest.raises(EventError) as caught:
        Annotated(data={"ignored": 1}, event="error", comment=comment).encode()
    assert str(caught.value) == message


def test_annotated_fields_are_checked_as_an_events_are():
    with pytest.raises(ValueError, match="id must not contain"):
        Annotated(data=1, id="a\nb").encode()


def test_annotated_data_that_cannot_be_json_is_refused():
    with pytest.raises(TypeError):
        Annotated(data=object()).encode()


@given(st.dictionaries(st.text(), st.text()))
def test_annotated_data_is_one_line_that_decodes_to_the_data(data):
    name, _, line = Annotated(data=data).encode().partition(b": ")
    assert name == b"data"
    assert line.endswith(b"\n\n")
    assert b"\n" not in line[:-2]
    assert json.loads(line) == data


def test_an_annotated_comment_that_is_not_a_list_is_refused():
    with pytest.raises(TypeError, match="comment takes a list of lines"):
        Annotated(comment="ab").encode()


def test_raw_json_of_several_lines_stays_one_event():
    annotated = Annotated(data=msgspec.Raw(b'{"a":\n\n1}'))
    assert annotated.encode() == b'data: {"a":\ndata: \ndata: 1}\n\n'
