"""Hand-off: what an app has to set, and what its response tells nginx."""

import base64
import json
import pickle
import random
import sys
import uuid
import zlib

import pytest
from flask import Flask

from flask_sluice import Sluice
from flask_sluice.channels.ids import id_text
from flask_sluice.extension.config import ExtensionConfig
from flask_sluice.extension.handed_readers import (
    MAX_TARGET_BYTES,
    ChannelsReader,
    HandoffTickets,
    RefusedTicketError,
    StreamReader,
)
from flask_sluice.extension.handoff import HandOff
from flask_sluice.extension.ticket_signer import TicketSigner
from flask_sluice.gateway.app import create_app
from flask_sluice.gateway.settings import Settings

KEY = "a-secret-key-for-tests"
REDIS = "redis://127.0.0.1:1/0"
READER = StreamReader(stream_id="s", retry_ms=2000)


@pytest.fixture
def app() -> Flask:
    return Flask(__name__)


def terms_of(target: str) -> dict[str, object]:
    """What a ticket says; anybody can read it."""
    terms = target.partition("?ticket=")[2].partition(".")[0]
    return json.loads(zlib.decompress(base64.urlsafe_b64decode(terms + "==")))


# What an app has to set.


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({}, "SLUICE_SECRET_KEY"),
        ({"SLUICE_REDIS_URL": REDIS}, "SLUICE_SECRET_KEY"),
        ({"SLUICE_SECRET_KEY": KEY}, "SLUICE_REDIS_URL"),
    ],
)
def test_an_app_that_is_not_prepared_is_told_what_to_set_here_and_there(app, config, missing):
    app.config.update(config)
    sluice = Sluice(app)
    with (
        app.test_request_context(),
        pytest.raises(
            RuntimeError, match=rf'app.config\["{missing}"\].*{missing} of `sluice serve`'
        ),
    ):
        sluice.streams.handoff("s")


def test_channels_ask_for_the_same_settings(app):
    sluice = Sluice(app)
    with app.test_request_context(), pytest.raises(RuntimeError, match="SLUICE_SECRET_KEY"):
        sluice.channels.handoff("news")


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        ((), {}, "at least one channel"),
        (("",), {}, "must not be empty"),
        ((7,), {}, r"str\(\) makes text"),
        (("news",), {"owner": 1.5}, "owner takes text"),
        (("news",), {"details": {"owner": "x"}}, "an argument of its own"),
    ],
)
def test_what_cannot_be_read_is_an_error_of_the_view(app, names, given, message):
    app.config.update(SLUICE_SECRET_KEY=KEY, SLUICE_REDIS_URL=REDIS)
    sluice = Sluice(app)
    with app.test_request_context(), pytest.raises((TypeError, ValueError), match=message):
        sluice.channels.handoff(*names, **given)


@pytest.mark.parametrize(
    "key", ["short", "sixteen letters or more", f"{KEY},short", f"{KEY},", 1234567890123456, [KEY]]
)
def test_a_key_that_the_gateway_would_not_take_is_refused_and_not_shown(app, key):
    app.config["SLUICE_SECRET_KEY"] = key
    with pytest.raises(ValueError, match="SLUICE_SECRET_KEY takes keys of at least 16") as raised:
        Sluice(app)
    assert str(key) not in str(raised.value)
    assert KEY not in str(raised.value)


# What the response says.


def hand_off(**config: object) -> HandOff:
    return HandOff(ExtensionConfig(redis_url=REDIS, secret_key=KEY, **config))


def test_the_response_is_empty_and_names_the_location(app):
    with app.test_request_context():
        response = hand_off(handoff_location="/kept/").response(READER, None, None)
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["X-Accel-Redirect"].startswith("/kept/streams/s?ticket=")


def test_headers_that_an_after_request_function_sets_go_along(app):
    @app.get("/")
    def view():
        response = hand_off().response(READER, None, {"X-From-View": "1"})
        response.set_cookie("a", "b")
        return response, {"X-From-Flask": "2"}

    @app.after_request
    def add(response):
        response.headers["X-From-Extension"] = "3"
        # These are of the empty response, or nginx passes them on.
        response.add_etag()
        response.headers.update({"Content-Encoding": "gzip", "Cache-Control": "private"})
        return response

    response = app.test_client().get("/")
    assert terms_of(response.headers["X-Accel-Redirect"])["headers"] == [
        ["X-From-View", "1"],
        ["X-From-Flask", "2"],
        ["X-From-Extension", "3"],
    ]


def test_keep_alives_and_time_limit_are_the_apps_where_it_has_said_them(app):
    with app.test_request_context():
        unsaid = terms_of(hand_off().response(READER, None, None).headers["X-Accel-Redirect"])
        app.config.update(SLUICE_KEEPALIVE_SECONDS=20, SLUICE_STREAM_TIMEOUT_SECONDS=60)
        said = terms_of(hand_off().response(READER, None, None).headers["X-Accel-Redirect"])
        given = terms_of(hand_off().response(READER, 0, None).headers["X-Accel-Redirect"])
    assert not unsaid.keys() & {"keepalive_seconds", "deadline_seconds"}
    assert (said["keepalive_seconds"], said["deadline_seconds"]) == (20, 60)
    assert given["keepalive_seconds"] == 0


@pytest.mark.parametrize("options", [{"keepalive": -1}, {"headers": {"Content-Length": "1"}}])
def test_what_a_stream_does_not_take_is_refused_in_the_view(app, options):
    with app.test_request_context(), pytest.raises(ValueError, match=r"keepalive|Content-Length"):
        hand_off().response(READER, **{"keepalive": None, "headers": None, **options})


def test_what_does_not_fit_into_a_request_line_is_an_error_of_the_view(app):
    long = random.Random(1).randbytes(MAX_TARGET_BYTES).hex()
    with app.test_request_context(), pytest.raises(ValueError, match=f"at most {MAX_TARGET_BYTES}"):
        hand_off().response(READER, None, {"X-Long": long}).get_wsgi_headers({})


def test_the_response_is_not_kept_by_a_cache(app):
    with app.test_request_context():
        assert pickle.loads(pickle.dumps(hand_off().response(READER, None, None))) is None


# Tickets.


def test_a_hundred_channels_and_a_position_in_each_fit_into_a_ticket():
    names = [f"user:{uuid.uuid4()}" for _ in range(100)]
    last_id = ",".join(id_text(name, (1764516731123, 0)) for name in names)
    reader = ChannelsReader(names=tuple(names), last_event_id=last_id, retry_ms=2000)
    assert len(HandoffTickets([KEY]).target(reader)) < MAX_TARGET_BYTES


def test_a_ticket_has_of_the_clients_id_what_the_view_reads(app):
    app.config.update(SLUICE_REDIS_URL=REDIS, SLUICE_SECRET_KEY=KEY)
    sluice = Sluice(app)
    ids = [id_text(f"channel {number}", (1764516731123, number)) for number in range(300)]
    with app.test_request_context(headers={"Last-Event-ID": ",".join(ids)}):
        response = sluice.channels.handoff("channel 7", "channel 9", "new")
    terms = terms_of(response.headers["X-Accel-Redirect"])
    assert terms["last_event_id"] == f"{ids[7]},{ids[9]}"


@pytest.mark.parametrize("data", [b"unknown", zlib.compress(b'{"type":"unknown"}')])
def test_a_ticket_of_another_release_is_refused_with_a_reason(data):
    terms = base64.urlsafe_b64encode(data).decode()
    ticket = f"{terms}.{TicketSigner([KEY], 'sluice hand-off').sign(terms)}"
    with pytest.raises(RefusedTicketError, match="another release's"):
        HandoffTickets([KEY]).reader_of(ticket, "streams/s")


def test_signatures_for_another_purpose_are_worthless():
    signature = TicketSigner([KEY], "one").sign("terms")
    assert TicketSigner([KEY], "one").has_signed("terms", signature)
    assert not TicketSigner([KEY], "other").has_signed("terms", signature)


# The gateway's side, where it is not prepared.


@pytest.fixture
def gunicorn_was_not_imported(monkeypatch):
    """The gateway is not made in a gunicorn that gevent has not patched; other tests import gunicorn's arbiter."""
    monkeypatch.delitem(sys.modules, "gunicorn.arbiter", raising=False)


def gateway_says(**settings: object) -> tuple[int, str]:
    with Flask(__name__).test_request_context():
        target = hand_off().response(READER, None, None).headers["X-Accel-Redirect"]
    response = create_app(Settings(**settings)).test_client().get(target)
    return response.status_code, response.json["error"]["code"]


def test_a_gateway_without_a_secret_key_has_no_such_route(gunicorn_was_not_imported):
    assert gateway_says() == (404, "not_found")
    assert gateway_says(api_keys=(KEY,)) == (404, "not_found")


def test_a_gateway_with_another_secret_key_has_no_such_route(gunicorn_was_not_imported):
    assert gateway_says(secret_key=(KEY + "x",)) == (404, "not_found")


def test_a_gateway_without_redis_says_what_it_needs(gunicorn_was_not_imported):
    assert gateway_says(secret_key=(KEY,)) == (503, "needs_redis")
