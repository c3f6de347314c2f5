"""The text of chunks, whatever a server puts into their fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.client import text_of
from tests.support.odd_answers import ODD_DOCUMENTS, SPOKEN

NAMES = ("choices", "delta", "message", "content", "text", "refusal", "type")
documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=20,
)


@given(documents)
def test_no_json_is_too_odd(document):
    assert isinstance(text_of(document), str)
    assert isinstance(text_of({"choices": [{"delta": {"content": document}}]}), str)


def test_the_text_of_an_answer_is_that_of_its_chunks():
    assert "".join(map(text_of, ODD_DOCUMENTS)) == SPOKEN


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"delta": {"content": "a"}}, "a"),
        ({"message": {"content": "a"}}, "a"),
        ({"text": "a"}, "a"),
        ({"delta": {"content": ["a", {"type": "text", "text": "b"}]}}, "ab"),
        ({"delta": {"content": [{"type": "thinking", "thinking": [{"text": "a"}]}]}}, ""),
        ({"delta": {"refusal": "a"}}, "a"),
        ({"delta": {"reasoning_content": "a"}}, ""),
        ({"delta": {"tool_calls": [{"function": {"arguments": "a"}}]}}, ""),
        ({"delta": None, "message": None}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_text_of_a_choice_is_what_the_model_says(choice, text):
    assert text_of({"choices": [choice]}) == text


def test_the_texts_of_several_choices_follow_each_other():
    assert text_of({"choices": [{"text": "a"}, {"text": "b"}]}) == "ab"
