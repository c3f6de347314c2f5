"""Somebody's Flask app with the installed wheel, over HTTP."""

import json

import pytest

from tests.support.server import wait_until
from tests.wheel.serving import serve

EVENTS = "".join(f'id: {n}\ndata: {{"number":{n}}}\n\n' for n in (1, 2, 3))
WORKERS = ("gevent", "flask_sluice.server.worker.Worker")


@pytest.fixture(scope="module", params=WORKERS)
def worker(request) -> str:
    return request.param


def gunicorn(environment, project, worker, *arguments):
    return serve(
        environment,
        project,
        *("python", "-m", "gunicorn", "--bind", "127.0.0.1:PORT", "-k", worker),
        *arguments,
        "app:app",
    )


def test_events_arrive_and_closing_the_connection_ends_the_generator(environment, project, worker):
    with gunicorn(environment, project, worker) as server:
        answer = server.request("GET", "/count")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        # The stream's preamble may stand before the events.
        assert answer.text.endswith(EVENTS)
        with server.open("GET", "/wait") as response:
            while b"waiting" not in response.readline():
                pass
            assert json.loads(server.request("GET", "/ended").text) == {"ended": []}
        wait_until(lambda: json.loads(server.request("GET", "/ended").text) == {"ended": ["wait"]})


def test_a_sync_worker_says_in_the_view_what_streams_need(environment, project):
    with gunicorn(environment, project, "gthread") as server:
        assert server.request("GET", "/ended").status == 200
        assert server.request("GET", "/count").status == 500
        assert "pip install 'flask-sluice[gevent]'" in server.log
