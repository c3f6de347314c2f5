"""What docs/adopting.md says that an app gains, on the servers that it says it of."""

import pytest

from tests.adopting.measure import APP, served
from tests.adopting.variants import noted, tell, until_noted
from tests.support.server import wait_until

HOUR_SECONDS = 3600

pytestmark = pytest.mark.slow


def test_on_gevent_the_work_of_a_client_that_leaves_stops_in_a_prefill():
    with served("gevent", is_adopted=True) as variant:
        with variant.reading(APP, key="a", prefill=HOUR_SECONDS) as body:
            body.until(b": stream\n")
        until_noted(variant, APP, "a", "aborted")


def test_on_gthread_the_thread_of_a_client_that_leaves_in_a_prefill_serves_the_next_request():
    with served("gthread", is_adopted=True, threads=1) as variant:
        with variant.reading(APP, key="a", prefill=HOUR_SECONDS) as body:
            body.until(b": stream\n")
        assert "aborted" not in noted(variant, APP, "a")


def test_on_gthread_the_work_of_a_client_that_leaves_stops_at_the_next_yield():
    with served("gthread", is_adopted=True) as variant:
        with variant.reading(APP, key="a", prefill=1, pause=HOUR_SECONDS) as body:
            body.until(b": stream\n")
        (text,) = wait_until(lambda: tell(variant, APP, "/saved/a")["texts"])
        assert text == "wörd-0 "


@pytest.mark.parametrize("kind", ["gthread", "gevent"])
def test_the_response_begins_before_the_first_event(kind):
    with (
        served(kind, is_adopted=True) as variant,
        variant.reading(APP, key="a", prefill=HOUR_SECONDS) as body,
    ):
        assert body.chunk() == b": stream\n"
        wait_until(lambda: "torn down" in noted(variant, APP, "a"))
