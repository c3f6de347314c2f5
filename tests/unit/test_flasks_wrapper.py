"""What the package reads of Flask's ``stream_with_context``. A release of Flask that changes it fails here first."""

import contextvars
import inspect

import pytest
from flask import Flask, stream_with_context

from flask_sluice.stream.feeds.context_variables import keeps_flask_context, variables_for
from flask_sluice.stream.threads.flask_contexts import RequestVariables


@pytest.fixture
def wrapper():
    app = Flask(__name__)
    with app.test_request_context():
        wrapper = stream_with_context(item for item in ["data: a\n\n"])
        yield wrapper
        wrapper.close()


def test_the_wrapper_is_known_by_its_module(wrapper):
    assert keeps_flask_context(wrapper)
    assert keeps_flask_context(item for item in wrapper)
    assert not keeps_flask_context(item for item in [])
    assert not keeps_flask_context([])


def test_the_wrapper_holds_the_generator_and_its_contexts(wrapper):
    found = inspect.getgeneratorlocals(wrapper)
    assert inspect.isgenerator(found["gen"])
    names = {"ctx", "app_ctx", "req_ctx"}.intersection(found)
    assert names in ({"ctx"}, {"app_ctx", "req_ctx"})
    for name in names:
        assert hasattr(found[name], "__enter__")


def test_the_generator_is_taken_out_of_its_wrapper(wrapper):
    variables = RequestVariables(wrapper)
    assert variables.keeps_flask_context
    assert list(variables.items) == ["data: a\n\n"]


def test_the_variables_that_hold_the_contexts_are_known_by_name():
    mine = contextvars.ContextVar("mine")
    before = contextvars.copy_context()
    with Flask(__name__).test_request_context():
        mine.set("kept")
        now = contextvars.copy_context()
        set_by_flask = {each for each in now if before.get(each) is not now[each]} - {mine}
        assert set_by_flask
        kept = variables_for([])
    assert not set_by_flask & set(kept)
    assert kept[mine] == "kept"
