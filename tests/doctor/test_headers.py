"""What the doctor says of the head of an answer. Each check is tripped by one case, and nearly by another."""

import pytest

from flask_sluice.doctor import Verdict
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import nginx

OK, WARNING, FAULT = Verdict.OK, Verdict.WARNING, Verdict.FAULT


def test_a_redirect_is_a_warning_that_names_the_last_url(origin, check_of):
    check = check_of("headers.status", f"/redirect?to={origin}/events")
    assert check.verdict is WARNING
    assert f"{origin}/events" in check.evidence


@pytest.mark.parametrize(
    ("content_type", "verdict"),
    [
        ("text/event-stream", OK),
        ("text/event-stream; charset=utf-8", OK),
        ("Text/Event-Stream;charset=UTF-8", OK),
        ("text/event-stream; charset=latin-1", WARNING),
        ("text/html; charset=utf-8", FAULT),
        ("application/octet-stream", FAULT),
        ("", FAULT),
    ],
)
def test_the_content_type_is_that_of_an_event_stream(check_of, content_type, verdict):
    assert check_of("headers.content-type", type=content_type).verdict is verdict


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ("no-cache", OK),
        ("no-store", OK),
        ("private, max-age=60", OK),
        ("max-age=0", OK),
        ("", WARNING),
        ("public", FAULT),
        ("max-age=60", FAULT),
        ("s-maxage=60, max-age=0", FAULT),
    ],
)
def test_no_cache_may_keep_a_stream(check_of, header, verdict):
    assert check_of("headers.caching", cache=header).verdict is verdict


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ("X-Cache: MISS from cache", OK),
        ("X-Cache: HIT from cache", FAULT),
        ("CF-Cache-Status: DYNAMIC", OK),
        ("CF-Cache-Status: HIT", FAULT),
        ("Age: 0", OK),
        ("Age: 12", FAULT),
    ],
)
def test_an_answer_out_of_a_cache_is_a_fault(check_of, header, verdict):
    assert check_of("headers.caching", header=header).verdict is verdict


def test_an_answer_to_a_post_needs_no_cache_control(check_of):
    assert check_of("headers.caching", "/v1/chat/completions", cache="").verdict is OK


@pytest.mark.parametrize(
    ("value", "verdict"), [("no", OK), ("NO", OK), ("yes", WARNING), ("off", WARNING)]
)
def test_only_no_tells_nginx_not_to_collect(check_of, value, verdict):
    check = check_of("headers.proxy-buffering", header=f"X-Accel-Buffering: {value}")
    assert check.verdict is verdict


def test_a_coding_that_the_body_does_not_have_is_a_fault(check_of):
    assert check_of("headers.compression", coding="gzip").verdict is OK
    assert check_of("headers.compression", header="Content-Encoding: gzip").verdict is FAULT


def test_a_coding_that_was_not_offered_is_a_fault(check_of):
    assert check_of("headers.compression", header="Content-Encoding: br").verdict is FAULT


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        ({"framing": "chunked"}, OK),
        ({"header": "Keep-Alive: timeout=5"}, OK),
        ({"framing": "length"}, WARNING),
        ({"header": "Upgrade: h2c"}, WARNING),
        ({"header": "Server: one|Server: another"}, OK),
        ({"framing": "twice"}, FAULT),
        ({"header": "Content-Length: 5"}, FAULT),
    ],
)
def test_headers_of_the_connection_are_there_once_and_where_they_belong(check_of, script, verdict):
    assert check_of("headers.connection", **script).verdict is verdict


def test_http_1_0_is_a_fault_and_a_body_without_a_length_is_none(check_of):
    assert check_of("headers.http-version", version="1.0", framing="close").verdict is FAULT
    assert check_of("headers.http-version", version="1.1", framing="close").verdict is OK


def test_the_version_that_a_proxy_speaks_is_the_one_that_counts(origin):
    from flask_sluice.doctor import examine  # noqa: PLC0415

    with nginx(origin) as url:
        report = examine(url + path(version="1.0", framing="close"), groups=("headers",))
    assert report.check("headers.http-version").verdict is OK
    assert "nginx" in report.check("headers.software").numbers["products"]


@pytest.mark.parametrize(
    ("cors", "verdict"),
    [
        ("right", OK),
        ("no-vary", OK),
        ("star", OK),
        ("star-credentials", FAULT),
        ("another", FAULT),
        ("twice", FAULT),
        ("", FAULT),
    ],
)
def test_a_page_of_another_origin_may_read_what_cors_allows(check_of, cors, verdict):
    doctor = {"origin": "https://page.test"}
    assert check_of("headers.cors", doctor=doctor, cors=cors).verdict is verdict


def test_a_post_of_json_needs_a_preflight_and_a_get_does_not(check_of):
    doctor = {"origin": "https://page.test"}
    get = check_of("headers.cors", doctor=doctor, cors="no-preflight")
    post = check_of("headers.cors", "/v1/chat/completions", doctor=doctor, cors="no-preflight")
    assert (get.verdict, post.verdict) == (OK, FAULT)
    assert "preflight" in post.evidence


def test_without_an_origin_cors_is_skipped(check_of):
    assert check_of("headers.cors").verdict is Verdict.SKIPPED
