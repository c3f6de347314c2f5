"""An app that was written for Flask-SSE, as it is and moved over: the same client gets the same events from both."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Page, expect

from flask_sluice.client import SSEClient, Timeouts
from flask_sluice.sse import ReceivedEvent
from tests.examples.installed import python_with
from tests.extensions.shops import MODULE, SOURCE, Pair, Variant, moved, subscribers
from tests.server.raw_upstream import RawUpstream
from tests.support.chromium import open_tab, running_browser
from tests.support.proxy import forwards_to
from tests.support.server import ROOT, Server, clean_environment, wait_until
from tests.support.stream import ask, get
from tests.system.redis_server import RedisServer

KINDS = {"gevent": ("-k", "gevent"), "gthread": ("-k", "gthread", "--threads", "40")}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture(scope="module")
def python() -> str:
    return python_with(
        *("Flask-SSE==1.0.0", "redis~=8.0", "Flask~=3.1", "gunicorn[gevent]~=27.0", "msgspec~=0.22")
    )


@pytest.fixture(scope="module")
def environment(redis) -> dict[str, str]:
    return {"REDIS_URL": redis.url, "PYTHONPATH": f"{ROOT}/wsgi"}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, python, environment, redis, tmp_path_factory) -> Iterator[Pair]:
    with ExitStack() as servers:

        def start(*, is_moved: bool, **modules: str) -> Variant:
            folder = tmp_path_factory.mktemp("shop")
            for module, code in modules.items():
                (folder / f"{module}.py").write_text(code)
            server = Server(
                "shop:app",
                configuration=os.devnull,
                arguments=(*KINDS[request.param], "--workers", "2", "--no-control-socket"),
                folder=folder,
                python=python,
                environment=environment,
            )
            return Variant(servers.enter_context(server), folder, redis, is_moved)

        yield Pair(
            start(is_moved=False, shop=SOURCE), start(is_moved=True, shop=moved(), sse=MODULE)
        )


def seen(events: list[ReceivedEvent]) -> list[tuple[str, str]]:
    return [(event.event, event.data) for event in events]


def test_a_page_that_reads_with_event_source_is_the_same(pair):
    assert pair.before.page() == pair.after.page()
    assert 'EventSource("/stream?channel=users.social")' in pair.after.page()


def test_a_browser_shows_the_same(pair):
    with running_browser() as browser:
        for variant in pair:
            with open_tab(browser) as page:
                open_page(variant, page)
                for number in range(3):
                    variant.post(f"/orders/{number}")
                    expect(page.locator("li").last).to_have_text(f"order {number}")
                    variant.post("/says", {"rating": number})
                    expect(page.locator("li").last).to_have_text(f'{{"rating": {number}}}')


def open_page(variant: Variant, page: Page) -> None:
    """Open the app's page, and wait until both of its connections are read."""
    others = subscribers(variant.redis)
    page.goto(variant.server.url)
    if variant.is_moved:
        page.wait_for_function("orders.readyState === 1 && social.readyState === 1")
    else:
        # With Flask-SSE, an EventSource is open when its first event has come.
        wait_until(lambda: len(subscribers(variant.redis) - others) == 2)


def test_an_event_with_a_type_is_the_same(pair):
    got = []
    for variant in pair:
        with variant.reading() as reader:
            variant.post("/orders/7")
            got.append(seen(reader.take(1)))
    assert got[0] == got[1]
    assert got[0][0][0] == "order"


@pytest.mark.parametrize(
    "value", ["two\nlines", "Zoë", {"b": [1, 2.5], "a": None}, [], 17, True, None, '"quoted"']
)
def test_an_event_of_any_value_is_the_same(pair, value):
    got = []
    for variant in pair:
        with variant.reading("users.social") as reader:
            variant.post("/says", value)
            got.append(seen(reader.take(1)))
    assert got[0] == got[1]
    assert got[0][0][0] == "message"


def test_an_event_tells_when_to_reconnect(pair):
    for variant in pair:
        with variant.reading() as reader:
            variant.post("/closing")
            (event,) = reader.take(1)
            assert (event.event, event.retry) == ("closing", 60_000)
            assert event.data == "The shop closes.\nCome again!"


def test_a_reader_gets_the_events_of_its_channel_alone(pair):
    for variant in pair:
        with variant.reading() as orders, variant.reading("users.social") as social:
            for number in range(3):
                variant.post("/says", number)
                variant.post(f"/orders/{number}")
            assert [event.data for event in social.take(3)] == ["0", "1", "2"]
            assert {event.event for event in orders.take(3)} == {"order"}


def test_every_reader_gets_every_event_of_both_workers(pair):
    for variant in pair:
        with ExitStack() as readers:
            several = [readers.enter_context(variant.reading("users.social")) for _ in range(8)]
            for number in range(10):
                variant.post("/says", number)
            for reader in several:
                assert [event.data for event in reader.take(10)] == list("0123456789")


def test_a_connection_that_breaks_loses_nothing_after_the_move(pair):
    got = []
    for variant in pair:
        with variant.reading("users.social") as reader:
            variant.post("/says", "first")
            (first,) = reader.take(1)
        variant.post("/says", "meanwhile")
        headers = {"Last_Event_ID": first.id} if first.id else {}
        with variant.reading("users.social", **headers) as reader:
            variant.post("/says", "last")
            got.append([event.data for event in reader.take(2 if variant.is_moved else 1)])
    assert got == [["last"], ["meanwhile", "last"]]


def test_a_worker_needs_one_connection_of_redis_for_all_readers_after_the_move(pair, redis):
    needed = []
    for variant in pair:
        others = subscribers(redis)
        with ExitStack() as readers:
            for _ in range(30):
                readers.enter_context(variant.reading("users.social"))
            needed.append(len(subscribers(redis) - others))
    assert needed[0] == 30
    assert needed[1] <= 2


def test_what_the_view_does_not_name_cannot_be_read_after_the_move(pair):
    with pair.before.reading("salaries") as reader:
        pair.before.post("/salaries")
        assert seen(reader.take(1)) == [("message", '{"ada": 7000}')]
    assert ask(pair.after.server, get("/stream?channel=salaries"))[0].status == 403


def test_readers_stay_connected_when_redis_is_restarted_after_the_move(pair, redis):
    with pair.after.reading("users.social") as reader:
        redis.kill()
        redis.start()
        pair.after.post("/says", "again")
        assert seen(reader.take(1)) == [("message", "again")]


def test_a_program_publishes_without_an_app_context_after_the_move(pair, python, environment):
    program = 'import shop, sse; sse.publish({"job": "done"}, channel="users.social")'
    with pair.after.reading("users.social") as reader:
        subprocess.run(
            [python, "-c", program],
            cwd=pair.after.folder,
            env={**clean_environment(), **environment},
            timeout=60,
            check=True,
        )
        assert seen(reader.take(1)) == [("message", '{"job": "done"}')]


def test_the_client_for_python_reads_on_when_its_connection_breaks_after_the_move(pair):
    endless = Timeouts(idle_event_seconds=None, total_seconds=None)
    port = pair.after.server.port
    with (
        RawUpstream(forwards_to(port)) as proxy,
        SSEClient(f"http://{proxy.host}").stream(
            "GET", "/stream?channel=users.social", timeouts=endless
        ) as stream,
    ):
        for number in range(2):
            pair.after.post("/says", number)
            assert next(stream).data == str(number)
            proxy.close_connections()
