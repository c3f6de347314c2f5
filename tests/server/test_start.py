"""Starting and stopping: what goes wrong is said in one line, and nothing stays behind."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from benchmarks.ports import free_port
from tests.server.observer import Observer
from tests.support.server import ROOT, Server, answers_on, clean_environment, wait_until
from tests.support.stream import Response, get


def start_in_vain(*command: str, **variables: str) -> list[str]:
    """The lines that a start prints that fails."""
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", *command],
        cwd=ROOT,
        env={**clean_environment(), "SLUICE_BIND": "127.0.0.1:1", **variables},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode != 0
    return (ended.stdout + ended.stderr).splitlines()


CONFIGURED = ("-c", "gunicorn.conf.py", "app:app")


def test_an_unknown_setting_is_named_and_the_likely_one_too():
    (line,) = start_in_vain(*CONFIGURED, SLUICE_KEEPALIV_SECONDS="1")
    assert "SLUICE_KEEPALIV_SECONDS is not a setting" in line
    assert "SLUICE_KEEPALIVE_SECONDS" in line


def test_a_bad_value_is_named_with_what_is_taken():
    (line,) = start_in_vain(*CONFIGURED, SLUICE_KEEPALIVE_SECONDS="soon")
    assert "SLUICE_KEEPALIVE_SECONDS: got 'soon', takes a number of seconds" in line


def test_a_proxy_of_another_kind_is_refused_in_one_line():
    variables = {"SLUICE_UPSTREAM": "https://upstream.test/v1", "HTTPS_PROXY": "socks5://p:1"}
    (line,) = start_in_vain(*CONFIGURED, **variables)
    assert "https_proxy: got a proxy of the kind socks5://" in line


def test_a_redis_url_that_is_none_is_refused_in_one_line_without_its_password():
    (line,) = start_in_vain(*CONFIGURED, SLUICE_REDIS_URL="redis://:secret@host:port")
    assert line.startswith(
        "sluice: SLUICE_REDIS_URL: got a value that is not shown, takes redis://"
    )
    assert "secret" not in line


def test_a_taken_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        lines = start_in_vain(*CONFIGURED, SLUICE_BIND=address)
    assert [line for line in lines if "[INFO]" not in line] == [
        f"sluice: {address} is taken; SLUICE_BIND=127.0.0.1:8081 sets another"
    ]


def test_a_unix_socket_in_use_is_one_line(tmp_path):
    path = tmp_path / "s"
    with Server(unix_socket=path):
        lines = start_in_vain(*CONFIGURED, SLUICE_BIND=f"unix:{path}")
    assert [line for line in lines if "[INFO]" not in line] == [
        f"sluice: another server listens at unix:{path}"
    ]


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_another_worker_class_is_one_line_that_says_which_to_use(worker):
    lines = start_in_vain("-k", worker, *CONFIGURED)
    (line,) = [line for line in lines if "[INFO]" not in line]
    assert "-k gevent" in line


@pytest.mark.parametrize("app", ["app:app", "tests.server.foreign_app:app"])
def test_a_server_without_gevent_says_which_worker_to_use(app, tmp_path):
    empty = tmp_path / "empty.py"
    empty.write_text("")
    lines = start_in_vain("-c", str(empty), "-k", "sync", "-b", "127.0.0.1:0", app)
    (line,) = [line for line in lines if not line.startswith("[")]
    assert "-k gevent" in line


def test_ctrl_c_ends_it_cleanly_also_in_mid_stream():
    with Server() as server, server.connect() as sock:
        sock.sendall(b"GET /stream_chat?name=hello HTTP/1.1\r\nHost: test\r\n\r\n")
        assert sock.recv(64)
        server.interrupt()
        assert server.wait_for_exit() == 0
        assert "Traceback" not in server.log


@pytest.mark.measures
def test_make_run_is_up_in_under_2_seconds_and_says_what_to_try():
    port = free_port()
    started_at = time.monotonic()
    process = subprocess.Popen(
        ["make", "run", f"SLUICE_BIND=127.0.0.1:{port}"],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers_on(port))
        assert time.monotonic() - started_at < 2
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        output, _ = process.communicate(timeout=50)
    assert f"Sluice is at http://127.0.0.1:{port}" in output
    assert f"curl -N http://127.0.0.1:{port}/v1/chat/completions" in output
    assert "Traceback" not in output
    assert "Error" not in output


@pytest.mark.parametrize(
    ("path", "why"),
    [("missing/s", "there is no folder"), ("file", "is not a socket")],
)
def test_a_unix_socket_that_cannot_be_made_is_one_line(tmp_path, path, why):
    (tmp_path / "file").write_text("precious")
    lines = start_in_vain(*CONFIGURED, SLUICE_BIND=f"unix:{tmp_path / path}")
    (line,) = [line for line in lines if "[INFO]" not in line]
    assert why in line
    assert (tmp_path / "file").read_text() == "precious"


def test_a_worker_that_is_killed_leaves_its_streams_visibly_cut_and_is_replaced():
    with Server("tests.server.inspected_app:app") as server:
        with server.connect() as sock:
            sock.sendall(get("/stream_chat?name=hello"))
            response = Response(sock)
            response.until(b"id: 2")
            os.kill(Observer(server).ask("/inspect")["pid"], signal.SIGKILL)
            with pytest.raises((EOFError, ConnectionResetError)):
                response.body()
        server.wait_until_ready()


def test_two_workers_serve_side_by_side():
    with Server("tests.server.inspected_app:app", workers=2) as server:
        wait_until(lambda: len({Observer(server).ask("/inspect")["pid"] for _ in range(8)}) == 2)
