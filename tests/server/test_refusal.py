"""The responses that gunicorn makes by itself have the shape of all errors, and arrive."""

import pytest

from tests.support.server import Server, wait_until
from tests.support.stream import Response, get

LINE_THAT_IS_TOO_LONG = b"GET /" + b"x" * 500_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (b"rubbish\r\n\r\n", 400, "Invalid Request Line"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "Invalid HTTP Version"),
        (LINE_THAT_IS_TOO_LONG, 414, "Request Line is too large"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431, "Error parsing headers"),
    ],
    ids=["no-request", "version", "long-line", "long-header"],
)
def test_a_malformed_head_is_refused_with_a_json_error(sluice, request_, status, message):
    with sluice.connect() as sock:
        sock.sendall(request_)
        response = Response(sock)
        error = response.json()["error"]
    assert (response.status, response.headers["connection"]) == (status, "close")
    assert error.pop("message").startswith(message)
    assert error == {"type": "invalid_request_error", "param": None, "code": "invalid_request"}


def test_a_failure_before_the_response_begins_is_a_json_500():
    with Server("tests.server.failing_middleware_app:app") as server, server.connect() as sock:
        sock.sendall(get("/healthz", X_Fail="call"))
        response = Response(sock)
        assert response.status == 500
        assert response.json()["error"]["code"] == "internal_error"
        assert "Traceback" in server.log


def test_a_request_line_may_have_eight_thousand_bytes(sluice):
    with sluice.connect() as sock:
        sock.sendall(get("/healthz?" + "x" * 8000))
        assert Response(sock).status == 200


@pytest.mark.parametrize("count", [101, 200])
def test_a_head_may_have_more_than_a_hundred_fields(sluice, count):
    fields = {f"X_Field_{number}": str(number) for number in range(count)}
    with sluice.connect() as sock:
        sock.sendall(get("/healthz", **fields))
        assert Response(sock).status == 200


@pytest.mark.parametrize("size", [9_000, 16_000])
def test_a_field_may_have_more_than_eight_thousand_bytes(sluice, size):
    with sluice.connect() as sock:
        sock.sendall(get("/healthz", Authorization=f"Bearer {'x' * size}"))
        assert Response(sock).status == 200


def test_a_head_may_have_many_long_fields(sluice):
    fields = {f"X_Field_{number}": "x" * 8000 for number in range(3)}
    with sluice.connect() as sock:
        sock.sendall(get("/healthz", **fields))
        assert Response(sock).status == 200


@pytest.mark.parametrize(
    ("head", "status", "setting"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n", 431, "limit_request_fields"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 17_000 + b"\r\n\r\n", 431, "limit_request_field_size"),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 8_000 + b"\r\n") * 6, 431, "32 KiB in all"),
        (LINE_THAT_IS_TOO_LONG, 414, "limit_request_line"),
    ],
)
def test_a_head_that_is_too_large_is_told_which_setting_limits_it(sluice, head, status, setting):
    with sluice.connect() as sock:
        sock.sendall(head)
        response = Response(sock)
        assert response.status == status
        assert setting in response.json()["error"]["message"]


def test_the_limits_of_heads_can_be_raised():
    arguments = ("--limit-request-field_size", "60000", "--limit-request-fields", "1000")
    with Server(arguments=arguments) as server, server.connect() as sock:
        fields = {f"X_Field_{number}": "x" for number in range(900)}
        sock.sendall(get("/healthz", X_Long="x" * 50_000, **fields))
        assert Response(sock).status == 200


def test_a_refused_client_that_goes_on_sending_is_not_read_for_ever(sluice):
    with sluice.connect() as sock:
        sock.sendall(b"rubbish\r\n\r\n")
        assert Response(sock).status == 400

        def is_closed() -> bool:
            try:
                sock.sendall(b"x")
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        wait_until(is_closed)
