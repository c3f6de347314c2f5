"""An app's own gunicorn file: with our worker class alone, with ``configure``, and without a file."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server, clean_environment, wait_until
from tests.support.stream import Response, get, post

APP = "tests.server.foreign_app:app"
WORKER_ALONE = "worker_class = 'flask_sluice.server.Worker'\n"
CONFIGURED = "from flask_sluice.server import configure\nconfigure(globals())\n"
# gunicorn 20 imports a module that warns of itself.
BAD_DRAIN = {**clean_environment(), "SLUICE_DRAIN_SECONDS": "soon", "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gunicorn.conf.py"


def serve(file: Path, text: str, *arguments: str, **settings: object) -> Server:
    file.write_text(text)
    return Server(APP, configuration=str(file), arguments=arguments, **settings)


def booted(server: Server) -> list[str]:
    return re.findall(r"Booting worker with pid: (\d+)", server.log)


def ended(server: Server) -> list[str]:
    return re.findall(r"Worker exiting \(pid: (\d+)\)", server.log)


def ask(server: Server, request: bytes = get("/plain")) -> Response:
    with server.connect() as sock:
        sock.sendall(request)
        response = Response(sock)
        response.body()
        return response


def test_our_worker_alone_ends_at_max_requests_and_is_replaced(file):
    with serve(file, WORKER_ALONE + "max_requests = 5\n", drain_seconds=1) as server:
        with server.connect() as sock:
            sock.sendall(get("/stream/paces"))
            stream = Response(sock)
            assert stream.chunk()
            for _ in range(5):
                assert ask(server).status == 200
            # gunicorn's master starts the next worker when this one has ended, which it does in SLUICE_DRAIN_SECONDS.
            assert b'"code":"draining"' in stream.body()
        wait_until(lambda: len(booted(server)) == 2)
        first, second = booted(server)
        assert server.log.index(f"exiting (pid: {first})") < server.log.index(f"pid: {second}")
        wait_until(lambda: ask(server).status == 200)


def test_with_configure_the_successor_boots_before_a_worker_ends(file):
    with serve(file, CONFIGURED + "max_requests = 5\n", drain_seconds=1) as server:
        for _ in range(5):
            assert ask(server).status == 200
        wait_until(lambda: ended(server))
        first, second = booted(server)[:2]
        assert server.log.index(f"pid: {second}") < server.log.index(f"exiting (pid: {first})")


@pytest.mark.slow
@pytest.mark.parametrize("text", [WORKER_ALONE, CONFIGURED], ids=["worker", "configure"])
def test_streams_go_on_for_as_long_as_the_environment_says(file, text):
    with serve(file, text, drain_seconds=0.5) as server, server.connect() as sock:
        sock.sendall(get("/stream/paces"))
        stream = Response(sock)
        assert stream.chunk()
        started_at = time.monotonic()
        server.signal(15)
        assert b'"code":"draining"' in stream.body()
        assert server.wait_for_exit() == 0
        assert time.monotonic() - started_at < 15  # gunicorn's default would be 20.


@pytest.mark.slow
def test_a_drain_that_gunicorn_would_cut_short_is_said_and_fits(file):
    text = WORKER_ALONE + "graceful_timeout = 3\n"
    with serve(file, text, drain_seconds=60) as server, server.connect() as sock:
        assert "streams go on for 1 s, not for SLUICE_DRAIN_SECONDS" in server.log
        sock.sendall(get("/stream/paces"))
        stream = Response(sock)
        assert stream.chunk()
        server.signal(15)
        assert b'"code":"draining"' in stream.body()
        assert server.wait_for_exit() == 0


SETTINGS = """
import sys
seen = open({seen!r}, "a")

def show(name, value):
    print(name, value, file=seen, flush=True)

keepalive = 7

def nworkers_changed(server, new, old):
    show("nworkers_changed", new)

from flask_sluice.server import configure
configure(globals(), drain_seconds=33)

def on_starting(server):
    show("on_starting", type(server).__name__)
    for name in ("graceful_timeout", "keepalive", "timeout", "worker_class_str"):
        show(name, getattr(server.cfg, name))

def post_worker_init(worker):
    show("post_worker_init", type(worker).__name__)

timeout = 44
"""


def test_configure_leaves_what_the_file_sets_before_and_after(file, tmp_path):
    seen = tmp_path / "seen"
    with serve(file, SETTINGS.format(seen=str(seen))):
        assert seen.read_text().splitlines() == [
            "nworkers_changed 1",
            "on_starting Master",
            "graceful_timeout 43",
            "keepalive 7",
            "timeout 44",
            "worker_class_str flask_sluice.server.Worker",
            "post_worker_init Worker",
        ]


def test_configure_says_that_another_worker_class_cuts_streams(file):
    with serve(file, "worker_class = 'gevent'\n" + CONFIGURED) as server:
        assert "worker_class is not flask_sluice.server.Worker" in server.log
        assert ask(server, get("/stream/counts")).status == 200


def test_an_app_without_a_file_takes_the_settings_of_the_package():
    with Server(APP, configuration="python:flask_sluice.server.settings") as server:
        assert "Using worker: flask_sluice.server.Worker" in server.log
        assert ask(server, get("/stream/counts")).status == 200
        assert wait_until(lambda: server.logged("stream ended"))


def test_a_drain_that_is_no_number_is_one_line(file):
    file.write_text(CONFIGURED)
    command = [sys.executable, "-m", "gunicorn", "-c", str(file), "-b", "127.0.0.1:0", APP]
    result = subprocess.run(
        command, cwd=ROOT, env=BAD_DRAIN, capture_output=True, text=True, timeout=50, check=False
    )
    assert result.returncode != 0
    assert (result.stdout + result.stderr).splitlines() == [
        "sluice: SLUICE_DRAIN_SECONDS: got 'soon', takes a number of seconds > 0"
    ]


def test_a_body_that_never_comes_is_a_408_of_the_apps_own(file):
    with serve(file, WORKER_ALONE, body_timeout_seconds=0.5) as server, server.connect() as sock:
        sock.sendall(b"POST /reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
        response = Response(sock)
        assert response.status == 408
        assert response.headers["content-type"].startswith("text/html")
        assert b"took too long" in response.body()
        assert "Traceback" not in server.log


HOOKS = """
def pre_request(worker, req):
    worker.log.info("before %s", req.path)

def post_request(worker, req, environ, resp):
    worker.log.info("after %s of %s: %s", req.path, environ["REMOTE_ADDR"], resp.status)
"""


def test_hooks_and_the_access_log_are_told_of_each_request(file):
    arguments = ("--access-logfile", "-", "--access-logformat", "%(m)s %(U)s %(s)s %({sec}e)s")
    with serve(file, CONFIGURED + HOOKS, *arguments) as server:
        assert ask(server, get("/stream/counts")).status == 200
        assert ask(server, post("/reads", {"text": "x"})).status == 200
        for line in ("POST /reads 200", "GET /stream/counts 200"):
            wait_until(lambda line=line: line in server.log)
        for path in ("/stream/counts", "/reads"):
            assert f"before {path}" in server.log
            wait_until(lambda path=path: f"after {path} of 127.0.0.1: 200 OK" in server.log)


def test_a_view_that_takes_the_connection_over_ends_it_without_an_error(file):
    with serve(file, CONFIGURED) as server, server.connect() as sock:
        sock.sendall(get("/takes_over"))
        assert sock.recv(64) == b"mine"
        assert sock.recv(64) == b""
        assert "Traceback" not in server.log


def test_importing_the_package_patches_and_imports_nothing():
    program = (
        "import sys, flask_sluice.server as server; assert callable(server.configure)\n"
        "assert not {'flask', 'gevent', 'gunicorn', 'ssl'} & sys.modules.keys(), sys.modules.keys()\n"
        "assert server.Worker.__name__ == 'Worker'\n"
        "from gevent import monkey; assert not monkey.is_module_patched('socket')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ), timeout=50)
