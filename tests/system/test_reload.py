"""A reload (SIGHUP) of gunicorn by itself: the code that serves then."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, get

pytestmark = pytest.mark.slow

PARTS = ("app.py", "gunicorn.conf.py", "wsgi", "static", "templates")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    return tmp_path


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def begins(server: Server, path: str) -> bytes:
    with server.connect() as sock:
        sock.sendall(get(path))
        return Response(sock).body() if path == "/healthz" else Response(sock).chunk()


def new_code_serves(checkout: Path, **arguments: object) -> None:
    environment = {"PYTHONPATH": str(checkout / "wsgi")}
    package = checkout / "wsgi/flask_sluice"
    with Server(folder=checkout, environment=environment, **arguments) as server:
        assert b"ok" in begins(server, "/healthz")
        # The master imports the one, for its settings, the workers alone import the other.
        change(package / "stream/options.py", '": stream', '": new stream')
        change(package / "gateway/api/operations.py", '"status": "ok"}', '"status": "new"}')
        server.signal(signal.SIGHUP)
        wait_until(lambda: b"new" in begins(server, "/healthz"))
        # A moment longer the old worker may take a connection, too.
        wait_until(lambda: begins(server, "/stream_chat?name=x") == b": new stream\n")
        assert server.log.count("Traceback") == 0


def test_new_workers_have_the_new_code_of_every_part(checkout):
    new_code_serves(checkout)


def test_new_workers_have_the_new_code_of_an_installed_package(checkout):
    new_code_serves(
        checkout,
        app="flask_sluice.gateway.app:create_app()",
        configuration="python:flask_sluice.gateway.gunicorn_settings",
    )


def test_a_reload_with_a_preloaded_app_leaves_worker_and_app_together():
    with Server(arguments=("--preload",), drain_seconds=2) as server:
        server.signal(signal.SIGHUP)
        wait_until(lambda: server.log.count("Booting worker") == 2)
        with server.connect() as sock:
            sock.sendall(get("/stream_chat?name=" + "x" * 2000))
            stream = Response(sock)
            assert stream.status == 200
            wait_until(lambda: server.log.count("Worker exiting") == 1)
            # The worker tells the app's streams that it ends: both use the same modules.
            server.signal(signal.SIGTERM)
            assert b"draining" in stream.body()
        assert server.wait_for_exit() == 0
