"""The gateway's Flask application: its routing is cached, and is Flask's own all the same."""

import pytest
from flask import Flask, redirect, request, url_for
from werkzeug.test import Client

from flask_sluice.gateway.application import Application

TAKES_A_CONTEXT_IN_FLASK_3_2 = {
    *("handle_http_exception", "handle_user_exception", "handle_exception", "log_exception"),
    *("dispatch_request", "full_dispatch_request", "finalize_request"),
    *("make_default_options_response", "preprocess_request", "process_response"),
    *("do_teardown_request", "do_teardown_appcontext"),
}
"""Flask 3.2 warns of a subclass that overrides one of these with the signature of 3.1."""


def with_routes(app):
    app.url_map.merge_slashes = False
    app.add_url_rule("/items/<int:number>", "item", lambda number: f"item {number}")
    app.add_url_rule("/url", "url", lambda: url_for("item", number=1))
    app.add_url_rule("/to", "to", lambda: redirect(url_for("url")), methods=["POST"])
    app.add_url_rule("/any/<path:rest>", "any", lambda rest: f"{request.endpoint} {rest}")
    return app


def answer(client, method, path, prefix):
    response = client.open(path, f"http://a.test{prefix}", method=method)
    names = ("Location", "Allow", "Content-Type")
    # Sorted, since the order of methods in Allow is a set's.
    headers = [sorted((response.headers.get(name) or "").split(", ")) for name in names]
    return response.status_code, headers, response.get_data()


@pytest.mark.parametrize("prefix", ["", "/prefix"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    ["/items/7", "/items/x", "/url", "/to", "/any/a/b", "/any//a", "//any/a", "/any/é", "/"],
)
def test_requests_are_routed_as_flask_routes_them(method, path, prefix):
    folders = {"static_folder": None, "template_folder": None}
    ours = Client(with_routes(Application(__name__, **folders)))
    plain = Client(with_routes(Flask(__name__, **folders)))
    expected = answer(plain, method, path, prefix)
    assert [answer(ours, method, path, prefix) for _ in range(2)] == [expected] * 2


def test_no_method_is_overridden_whose_signature_flask_changes():
    assert not TAKES_A_CONTEXT_IN_FLASK_3_2 & vars(Application).keys()
