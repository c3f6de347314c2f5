"""The lines with which the doctor mends a fault: which come first, and what they are made of."""

import ast
import importlib
import pkgutil
import textwrap

import pytest

from flask_sluice.doctor import remedies
from flask_sluice.doctor.remedies.products import first_for, product_of, products_of
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.remedies.timeouts import (
    SILENCE,
    USUAL_LIMITS,
    WHOLE,
    who_cuts_after,
)

NGINX = Remedy("nginx, in the location of the stream", "proxy_buffering off;")
INGRESS = Remedy("nginx (ingress-nginx), in the annotations of the Ingress", "a: b")
CADDY = Remedy("Caddy, in reverse_proxy", "flush_interval -1")
ANY_APP = Remedy("any app, in the headers of the response", "X-Accel-Buffering: no")


PRODUCTS = {
    *("any app", "Flask", "Django", "uvicorn", "Express", "Go", "Spring"),
    *("JavaScript", "Sluice's gateway", "gunicorn", "waitress", "uWSGI"),
    *("nginx", "Apache", "HAProxy", "Caddy", "Traefik", "Envoy"),
    *("AWS ALB", "AWS NLB", "AWS API Gateway", "CloudFront", "Cloudflare", "Google Cloud"),
    *("Azure", "Heroku", "ASP.NET"),
}


def subjects():
    for module in pkgutil.iter_modules(remedies.__path__, f"{remedies.__name__}."):
        yield importlib.import_module(module.name)


def faults():
    """Each fault with its remedies: the constants that are tuples of them."""
    for module in subjects():
        for name, value in vars(module).items():
            is_fault = name.isupper() and not name.startswith("_")
            if is_fault and isinstance(value, tuple) and isinstance(value[0], Remedy):
                yield pytest.param(value, id=name)


REMEDIES = sorted({remedy for fault in faults() for remedy in fault.values[0]}, key=str)
PYTHON = [
    each
    for each in REMEDIES
    if each.line.startswith(("yield ", "if ", "for ", "try:", "from ", "return "))
]


@pytest.mark.parametrize(
    ("headers", "products"),
    [
        ([("Server", "nginx/1.22.1")], ("nginx",)),
        ([("server", "openresty")], ("nginx",)),
        ([("Server", "Apache/2.4.57 (Debian)")], ("Apache",)),
        ([("Server", "Apache-Coyote/1.1")], ()),
        ([("Server", "gunicorn/20.1.0")], ("gunicorn",)),
        ([("Server", "Werkzeug/3.0 Python/3.11")], ("Flask",)),
        ([("Server", "istio-envoy"), ("x-envoy-upstream-service-time", "3")], ("Envoy",)),
        ([("Server", "cloudflare"), ("CF-RAY", "8a-FRA")], ("Cloudflare",)),
        ([("Server", "gunicorn"), ("Via", "1.1 google")], ("Google Cloud", "gunicorn")),
        ([("Server", "Caddy"), ("Via", "1.1 Caddy")], ("Caddy",)),
        ([("Via", "1.1 1234.cloudfront.net (CloudFront)")], ("CloudFront",)),
        ([("Set-Cookie", "AWSALB=abc; Path=/"), ("Server", "nginx")], ("AWS ALB", "nginx")),
        ([("Set-Cookie", "session=AWSALB="), ("Server", "uvicorn")], ("uvicorn",)),
        ([("Via", "1.1 vegur"), ("Server", "Cowboy")], ("Heroku",)),
        ([("Server", "Cowboy")], ()),
        ([("Via", "1.1 varnish, 1.1 Caddy")], ("Varnish", "Caddy")),
        ([("X-Powered-By", "Express")], ("Express",)),
        ([("Content-Type", "text/event-stream")], ()),
        ([], ()),
    ],
)
def test_products_are_known_by_their_headers(headers, products):
    assert products_of(headers) == products


def test_a_product_in_front_is_named_before_the_one_behind_it():
    headers = [("Server", "nginx"), ("CF-Ray", "1"), ("X-Powered-By", "Express")]
    assert products_of(headers) == ("Cloudflare", "nginx", "Express")


def test_remedies_for_a_product_that_was_seen_come_first_and_keep_their_order():
    given = (ANY_APP, CADDY, NGINX, INGRESS)
    assert first_for(given, ["nginx"]) == (NGINX, INGRESS, ANY_APP, CADDY)


def test_remedies_keep_their_order_where_no_product_was_seen():
    assert first_for((ANY_APP, CADDY, NGINX), ()) == (ANY_APP, CADDY, NGINX)


@pytest.mark.parametrize(
    ("seconds", "product"),
    [
        *((15.1, "Envoy"), (29.2, "AWS API Gateway"), (31.5, "gunicorn"), (50.0, "HAProxy")),
        *((55.1, "Heroku"), (60.0, "nginx"), (60.9, "AWS ALB"), (59.2, "Apache")),
        *((60.0, "uWSGI"), (100.4, "Cloudflare"), (121.0, "Cloudflare"), (240.3, "Azure")),
        *((299.0, "Envoy"), (350.0, "AWS NLB")),
    ],
)
def test_a_cut_names_the_product_that_cuts_after_that_time(seconds, product):
    assert product in {limit.product for limit in who_cuts_after(seconds)}


@pytest.mark.parametrize("seconds", [0.0, 5.0, 20.0, 40.0, 80.0, 180.0, 1000.0])
def test_a_cut_at_no_usual_time_names_no_product(seconds):
    assert who_cuts_after(seconds) == ()


def test_the_nearest_limit_comes_first():
    assert who_cuts_after(29.4)[0].seconds == 29
    assert who_cuts_after(29.9)[0].seconds == 30


def test_a_cut_in_silence_is_not_put_down_to_a_limit_of_the_whole_stream():
    assert {limit.of for limit in who_cuts_after(30, of=SILENCE)} == {SILENCE}
    assert {limit.of for limit in who_cuts_after(30, of=WHOLE)} == {WHOLE}


def test_a_time_that_is_measured_exactly_finds_its_limit():
    for limit in USUAL_LIMITS:
        assert limit in who_cuts_after(limit.seconds, of=limit.of)


def test_a_fault_has_remedies_and_each_only_once():
    for fault in faults():
        (given,) = fault.values
        assert given
        assert len(set(given)) == len(given), fault.id


def test_a_remedy_names_its_product_and_the_lines_for_it():
    for remedy in REMEDIES:
        assert product_of(remedy) in PRODUCTS, remedy
        assert remedy.line.strip() == remedy.line
        assert remedy.line
        assert "\n" not in remedy.where


def test_lines_for_an_app_in_python_are_python():
    assert PYTHON
    for remedy in PYTHON:
        ast.parse("def view():\n" + textwrap.indent(remedy.line, "    "))
