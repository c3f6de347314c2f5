"""nginx and gunicorn are told to load anew while streams run: nothing is cut, nobody is refused."""

import signal
import threading
from collections.abc import Callable

import pytest

from tests.support.server import wait_until
from tests.support.stream import chat
from tests.system.site import Client, Site

pytestmark = pytest.mark.slow

PATH = "/v1/chat/completions"
ASKING = 16
UNHEARD = repr(EOFError("the stream was cut after b''"))


def reload_gunicorn(site: Site) -> None:
    booted = site.gunicorn.log.count("Booting worker")
    site.gunicorn.signal(signal.SIGHUP)
    wait_until(lambda: site.gunicorn.log.count("Booting worker") > booted)


def reload_nginx(site: Site) -> None:
    site.nginx.reload()


RELOADS = {"gunicorn": reload_gunicorn, "nginx": reload_nginx}


@pytest.mark.parametrize("reload", RELOADS.values(), ids=RELOADS)
def test_running_stream_goes_on_to_its_end(client, reload: Callable[[Site], None]):
    with Site() as site:
        body = chat(simulator={"tokens": 60, "itl_ms": 20})
        response = client.post(site.nginx, PATH, body)
        assert response.until(b"data: ")
        reload(site)
        assert response.body().endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("reload", RELOADS.values(), ids=RELOADS)
def test_nobody_is_refused_or_cut(client, reload: Callable[[Site], None]):
    outcomes: list[str] = []
    is_over = threading.Event()

    def ask_again_and_again(site: Site) -> None:
        while not is_over.is_set():
            outcome = outcome_of_a_stream(site, client.protocol)
            # An nginx that ends closes connections that have not asked yet, though the request may be on its
            # way. Browsers ask again then (RFC 9112, section 9.3.1; RFC 9113, section 6.8).
            if not (reload is reload_nginx and outcome == UNHEARD):
                outcomes.append(outcome)

    with Site(drain_seconds=10) as site:
        threads = [
            threading.Thread(target=ask_again_and_again, args=(site,)) for _ in range(ASKING)
        ]
        for thread in threads:
            thread.start()
        for _ in range(4):
            seen = len(outcomes)
            wait_until(lambda seen=seen: len(outcomes) > seen + ASKING)
            reload(site)
        seen = len(outcomes)
        wait_until(lambda: len(outcomes) > seen + 4 * ASKING)
        is_over.set()
        for thread in threads:
            thread.join()
    assert [outcome for outcome in outcomes if outcome != "whole"] == []


def outcome_of_a_stream(site: Site, protocol: str) -> str:
    """A short one, on a connection of its own."""
    with Client(protocol) as client:
        try:
            response = client.post(site.nginx, PATH, chat(simulator={"tokens": 15, "itl_ms": 10}))
            body = response.body()
        except (EOFError, OSError) as error:
            return repr(error)
        is_whole = response.status == 200 and body.endswith(b"data: [DONE]\n\n")
        return "whole" if is_whole else f"{response.status} {body[-200:]!r}"
