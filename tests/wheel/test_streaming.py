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


@pytest.mark.oldest_and_newest
def test_the_settings_module_serves_an_app_with_the_extra_gevent_alone(with_gevent, project):
    command = ("python", "-m", "gunicorn", "-c", "python:flask_sluice.server.settings")
    with serve(with_gevent, project, *command, "--bind", "127.0.0.1:PORT", "app:app") as server:
        assert server.request("GET", "/count").text.endswith(EVENTS)
        assert "flask_sluice.server.Worker" in server.log


@pytest.mark.oldest_and_newest
def test_configure_in_an_apps_own_file_brings_a_successor_at_max_requests(with_gevent, project):
    (project / "gunicorn.conf.py").write_text(
        "from flask_sluice.server import configure\n"
        "configure(globals(), drain_seconds=5)\n"
        "max_requests = 3\n"
    )
    command = ("python", "-m", "gunicorn", "--bind", "127.0.0.1:PORT", "app:app")
    with serve(with_gevent, project, *command) as server:
        for _ in range(10):
            assert server.request("GET", "/count").text.endswith(EVENTS)
        wait_until(lambda: "Worker exiting" in server.log, 60, lambda: server.log)
        assert server.log.index("Booting worker", server.log.index("Worker has served")) > 0
        assert server.request("GET", "/count").text.endswith(EVENTS)


def test_gunicorns_workers_with_threads_stream_too(environment, project):
    with gunicorn(environment, project, "gthread", "--threads", "4") as server:
        assert_streams(server)


@pytest.mark.oldest_and_newest
def test_an_app_streams_with_flask_run_and_without_any_extra(bare, project):
    # Flask 2.1 has no --app.
    command = ("python", "-m", "flask", "run", "--port", "PORT")
    with serve(bare, project, *command, FLASK_APP="app") as server:
        assert_streams(server)


def assert_streams(server):
    """Events come, and a generator whose client has left ends: at its next ``yield``, where it has a thread."""
    assert server.request("GET", "/count").text.endswith(EVENTS)
    with server.open("GET", "/tick") as response:
        while b"tick" not in response.readline():
            pass
    wait_until(lambda: json.loads(server.request("GET", "/ended").text) == {"ended": ["tick"]})
