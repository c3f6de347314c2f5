"""What views and hooks may do with the response, as with any of Flask's."""

import pytest

from tests.extensions.extended_server import new_key


def read_one_by_one(server, path: str):
    """Reads a stream that goes on when its first event is there; returns the response."""
    key = new_key()
    with server.reading(f"{path}?key={key}") as response:
        response.until(b"data: first\n\n")
        server.go_on(key)
        assert response.body().endswith(b"event: done\ndata: third\n\n")
    return response


def test_a_view_may_return_status_and_headers_beside_the_response(server):
    response = read_one_by_one(server, "/responses/tuple")
    assert (response.status, response.headers["x-a"]) == (202, "b")


def test_a_view_may_make_a_response_of_the_response(server):
    response = read_one_by_one(server, "/responses/made")
    assert (response.status, response.headers["x-a"]) == (201, "b")


def test_a_view_may_set_a_cookie(server):
    assert "flavour=oat" in read_one_by_one(server, "/responses/cookie").headers["set-cookie"]


def test_a_blueprints_hooks_may_set_headers_and_cookies(server):
    headers = read_one_by_one(server, "/responses/blue/steps").headers
    assert headers["x-blue"] == "yes"
    assert "blue=1" in headers["set-cookie"]


@pytest.mark.parametrize("extension", ["restful", "smorest"])
def test_a_resource_may_return_the_response(server, extension):
    assert read_one_by_one(server, f"/{extension}/resource").status == 200


def test_a_hook_that_reads_the_data_is_told_to_skip_streams(server):
    response, _ = server.answer(f"/reads_data/steps?key={new_key()}")
    assert response.status == 500
    assert "let after_request functions skip a response with is_streamed" in server.log


def test_a_hook_may_read_the_data_of_other_responses(server):
    response, body = server.answer("/reads_data/page")
    assert response.headers["x-size"] == str(len(body))


def test_a_hook_may_ask_for_the_data_to_be_collected(server):
    key = new_key()
    server.go_on(key)
    response, body = server.answer(f"/collects_data/steps?key={key}")
    assert response.headers["x-size"] == str(len(body))
    assert body.endswith(b"event: done\ndata: third\n\n")
    assert server.outcome(key) == "complete"
