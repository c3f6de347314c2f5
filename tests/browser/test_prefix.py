"""Sluice under a prefix of an existing site: the page, its files, and all three transports."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.browser.demo_page import DemoPage
from tests.support.readme import DEPLOYMENT, example
from tests.support.stream import Response, get
from tests.system.site import Site

pytestmark = pytest.mark.slow

PREFIX = "/sluice"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(edited_by=example("sh", "X-Forwarded-Prefix", DEPLOYMENT)) as site:
        yield site


@pytest.fixture
def profile_options() -> dict[str, Any]:
    """The certificate of nginx is self-signed."""
    return {"ignore_https_errors": True}


@pytest.mark.parametrize("transport", ["fetch", "eventsource", "resumable"])
def test_the_page_asks_under_the_prefix(page, site, transport):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    server = SimpleNamespace(url=f"{site.nginx.url}{PREFIX}/")
    demo = DemoPage(page, server)
    demo.simulate(tokens=5, itl_ms=20)
    demo.ask("Why?", transport)
    if transport == "eventsource":
        demo.wait_for_growth()
    else:
        demo.wait_for_state("done")
    assert demo.answer.text_content()
    assert [url for url in asked if not url.startswith(server.url)] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *[
            ("/sluice/v1/models", 200),
            ("/sluice/static/favicon.svg", 200),
            ("/sluice/healthz", 200),
        ],
        *[
            ("/sluice/readyz", 404),
            ("/sluice/healthz%20HTTP/1.1%0d%0aX:%20y%0d%0a%0d%0a", 404),
            ("/sluice/metrics", 404),
            ("/v1/models", 404),
        ],
    ],
)
def test_each_path_has_its_status(site, path, status):
    with site.nginx.connect() as sock:
        sock.sendall(get(path))
        assert Response(sock).status == status
