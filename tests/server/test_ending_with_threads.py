"""A server with threads that ends while streams run: their clients are told, answers are saved, and the process goes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest

from benchmarks.ports import free_port
from tests.support.server import ROOT, clean_environment, wait_until, without_proxies
from tests.support.stream import get

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

APP = "tests.server.ending_app"
STREAMS = ("silent", "talkative", "wrapped", "stuck", "stuck-and-wrapped")
SERVERS = {
    "flask-run": ("flask", "--app", APP, "run", "--port", "{port}"),
    "gthread": (
        *("gunicorn", "-k", "gthread", "--threads", "10", "-c", "/dev/null"),
        *("--graceful-timeout", "5", "-b", "127.0.0.1:{port}", f"{APP}:app"),
    ),
}


class Ending:
    """A server in a process group of its own."""

    def __init__(self, command, folder):
        self._port = free_port()
        self._ended = folder / "ended"
        self._ended.touch()
        self._output = folder / "output"
        arguments = [word.format(port=self._port) for word in command]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env={**without_proxies(clean_environment()), "ENDED": str(self._ended)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self):
        return self._output.read_text()

    @property
    def ended(self):
        return set(self._ended.read_text().splitlines())

    def connect(self):
        return socket.create_connection(("127.0.0.1", self._port), timeout=30)

    def answers(self):
        assert self.process.poll() is None, self.output
        try:
            with self.connect() as sock:
                sock.sendall(get("/healthz"))
                return sock.recv(16).startswith(b"HTTP/1.")
        except OSError:
            return False

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(params=SERVERS)
def server(request, tmp_path):
    ending = Ending(SERVERS[request.param], tmp_path)
    try:
        wait_until(ending.answers, 40, lambda: ending.output)
        yield ending
    finally:
        ending.kill()


@pytest.fixture
def begin(server):
    """Begins a stream; returns its connection, and what has come of the response."""
    with contextlib.ExitStack() as stack:

        def begin(name):
            sock = stack.enter_context(server.connect())
            sock.sendall(get(f"/{name}"))
            data = b""
            while b"begun" not in data:
                data += sock.recv(65536)
            return sock, data

        yield begin


def rest(sock):
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def test_ctrl_c_ends_all_streams_with_an_error_event(server, begin):
    readers = [begin(name)[0] for name in STREAMS]
    os.killpg(server.process.pid, signal.SIGINT)
    for reader in readers:
        assert b'"draining"' in rest(reader)
    server.process.wait(20)
    assert server.ended == {"silent True", "talkative GeneratorExit", "wrapped /wrapped"}
    assert "Traceback" not in server.output
    assert "rror" not in server.output


def test_an_answer_that_is_being_saved_is_saved_before_the_process_ends(server, begin):
    sock, _ = begin("saving")
    sock.close()
    os.killpg(server.process.pid, signal.SIGINT)
    server.process.wait(20)
    assert server.ended == {"saving saved"}
    assert "Traceback" not in server.output
