"""The app in examples/hand-off behind its nginx, with a Sluice beside it, as its README has it."""

import re
from collections.abc import Iterator

import pytest
import requests

from tests.support.server import ROOT, wait_until
from tests.system.hand_off import HandOffSite
from tests.system.redis_server import RedisServer

pytestmark = pytest.mark.slow

README = (ROOT / "examples/hand-off/README.md").read_text()


@pytest.fixture(scope="module")
def site() -> Iterator[HandOffSite]:
    with RedisServer() as redis, HandOffSite(redis.url) as site:
        yield site


class User:
    """A client with the user's cookies."""

    def __init__(self, site: HandOffSite, name: str) -> None:
        self._url = f"http://{site.nginx.host}"
        self._session = requests.Session()
        self._session.trust_env = False
        self.ask("POST", f"/login/{name}").raise_for_status()

    def ask(self, method: str, path: str) -> requests.Response:
        return self._session.request(method, self._url + path, timeout=30, stream=True)


@pytest.fixture
def ada(site) -> User:
    return User(site, "ada")


def test_a_count_is_started_and_read_through_sluice(site, ada):
    stream_id = ada.ask("POST", "/counts/2").json()["id"]
    text = ada.ask("GET", f"/counts/{stream_id}").text
    assert re.findall("data: (.*)", text) == ['{"number":1}', '{"number":2}', "{}"]
    path = f"/_sluice/streams/{stream_id}"
    wait_until(lambda: site.sluice.logged("stream ended", path=path))


def test_another_user_does_not_find_it(site, ada):
    stream_id = ada.ask("POST", "/counts/1").json()["id"]
    assert User(site, "eve").ask("GET", f"/counts/{stream_id}").status_code == 404


def test_news_reach_whoever_reads_them(site, ada):
    with User(site, "grace").ask("GET", "/news") as response:
        lines = response.iter_lines()
        assert any(line.startswith(b"id: ") for line in lines)
        ada.ask("POST", "/news/Hello")
        assert b'data: {"text":"Hello","by":"ada"}' in lines


def test_without_a_login_nothing_is_handed_over(site):
    for path in ("/counts/x", "/news"):
        assert requests.get(f"http://{site.nginx.host}{path}", timeout=30).status_code == 401


def test_the_readme_names_the_ports_and_routes_that_there_are():
    nginx = (ROOT / "examples/hand-off/nginx.conf").read_text()
    app = (ROOT / "examples/hand-off/app.py").read_text()
    ports = set(re.findall(r"127\.0\.0\.1:(80\d\d)", README))
    assert ports == set(re.findall(r"127\.0\.0\.1:(80\d\d)", nginx))
    for route in set(re.findall(r"8000(/\w+)", README)):
        assert f'"{route}' in app
