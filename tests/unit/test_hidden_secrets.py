"""Which values of a URL's query are hidden in log files."""

import pytest

from flask_sluice.observe.hidden_secrets import (
    environ_for_log,
    hide_secrets_in_query,
    hide_secrets_in_target,
)


@pytest.mark.parametrize(
    "name",
    [
        *("ticket", "api_key", "key", "apikey", "API-KEY", "access_token", "token", "password"),
        *("client_secret", "X-Amz-Signature", "sig", "auth", "session_id", "a%70i_%6Bey"),
    ],
)
def test_the_value_of_a_parameter_named_like_a_secret_is_hidden(name):
    query = f"model=gpt&{name}=sk-1=2&last_event_id=7"
    hidden = f"model=gpt&{name}=(hidden)&last_event_id=7"
    assert hide_secrets_in_query(query) == hidden
    assert hide_secrets_in_target(f"/v1/streams/x?{query}") == f"/v1/streams/x?{hidden}"


@pytest.mark.parametrize(
    "target",
    ["/", "/?", "/v1/models", "/stream_chat?name=a+b&last_event_id=4", "/?a=b&&c", "/?ticket", "*"],
)
def test_everything_else_stays_as_it_is(target):
    assert hide_secrets_in_target(target) == target


def test_semicolons_divide_parameters_too():
    assert hide_secrets_in_query("a=b;key=c;d=e") == "a=b;key=(hidden);d=e"


def test_a_second_question_mark_belongs_to_the_query():
    assert hide_secrets_in_target("/?a=?&key=b?c") == "/?a=?&key=(hidden)"


def test_user_and_password_of_a_url_are_hidden():
    assert hide_secrets_in_target("http://me:sk-1@host/x@y") == "http://(hidden)@host/x@y"


def test_an_environ_keeps_all_else_and_is_not_changed():
    environ = {
        "RAW_URI": "/?key=1",
        "QUERY_STRING": "key=1",
        "HTTP_REFERER": "http://x/?ticket=1",
        "PATH_INFO": "/",
    }
    before = dict(environ)
    assert environ_for_log(environ) == {
        "RAW_URI": "/?key=(hidden)",
        "QUERY_STRING": "key=(hidden)",
        "HTTP_REFERER": "http://x/?ticket=(hidden)",
        "PATH_INFO": "/",
    }
    assert environ == before
