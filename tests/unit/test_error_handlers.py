"""The JSON that answers an error, whatever raised it."""

import re

import pytest
from flask import Flask
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.exceptions import BadRequest, RequestTimeout

from flask_sluice.gateway.request import error_handlers
from flask_sluice.stream import registry
from flask_sluice.stream.admission import TooManyStreamsError
from flask_sluice.stream.errors import ApiError, PlainAnswer

TOO_SLOW = "the request's body took too long to come"


def response_to(error):
    """The response of an application whose view raises the error."""
    app = Flask(__name__)
    error_handlers.register(app)

    @app.post("/")
    def view():
        raise error

    return app.test_client().post("/", headers={"X-Request-Id": "request-7"})


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (RequestTimeout(), 408, "request_timeout", TOO_SLOW),
        (RequestTimeout("another text"), 408, "request_timeout", TOO_SLOW),
        (BadRequest("the framing is broken"), 400, "invalid_request", "the framing is broken"),
        (InvalidChunkSize("x"), 400, "invalid_request", "the body's framing is broken: .*"),
        (TooManyStreamsError("3 streams"), 503, "overloaded", "3 streams; try again later"),
        (ApiError(404, "not_here", "no"), 404, "not_here", "no"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_answered_with_its_status_code_and_message(error, status, code, message):
    response = response_to(error)
    assert response.status_code == status
    assert response.mimetype == "application/json"
    assert response.headers["X-Request-Id"] == "request-7"
    told = response.get_json()["error"]
    assert told.keys() == {"message", "type", "param", "code"}
    assert told["code"] == code
    assert re.fullmatch(message, told["message"])
    assert registry.stats().refused[str(status), code] > 0


def test_an_unexpected_error_is_logged_and_not_shown(caplog):
    response = response_to(ZeroDivisionError("a secret"))
    assert (response.status_code, response.get_json()["error"]["code"]) == (500, "internal_error")
    assert b"a secret" not in response.data
    assert "request failed request_id=request-7" in caplog.text
    assert "ZeroDivisionError: a secret" in caplog.text


def test_a_plain_answer_goes_out_as_it_is():
    response = response_to(PlainAnswer(200, {"Content-Type": "text/x"}, b"plain"))
    assert (response.status_code, response.mimetype, response.data) == (200, "text/x", b"plain")
