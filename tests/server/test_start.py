"""Starting and stopping: a failure is said in one line, and nothing stays behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from benchmarks.ports import free_port
from tests.server.observer import Observer
from tests.support.server import ROOT, Server, answers_on, clean_environment, wait_until
from tests.support.stream import Response, chat, get, post


def start_in_vain(*command: str, **variables: str) -> list[str]:
    """The lines that a start prints that fails."""
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", *command],
        cwd=ROOT,
        env={
            **clean_environment(),
            "SLUICE_BIND": "127.0.0.1:1",
            "PYTHONWARNINGS": "ignore",  # gunicorn 20 imports a module that warns of itself.
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode != 0
    return (ended.stdout + ended.stderr).splitlines()


CONFIGURED = ("-c", "gunicorn.conf.py", "app:app")
OTHER_WORKERS = [
    "gthread",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("sync", "gevent_pywsgi")),
]


def test_an_unknown_setting_is_named_and_the_likely_one_too():
    (line,) = start_in_vain(*CONFIGURED, SLUICE_KEEPALIV_SECONDS="1")
    assert "SLUICE_KEEPALIV_SECONDS is not a setting" in line
    assert "SLUICE_KEEPALIVE_SECONDS" in line


def test_a_bad_value_is_named_with_what_is_taken():
    (line,) = start_in_vain(*CONFIGURED, SLUICE_KEEPALIVE_SECONDS="soon")
    assert "SLUICE_KEEPALIVE_SECONDS: got 'soon', takes a number of seconds" in line


@pytest.mark.slow
def test_a_proxy_of_another_kind_is_refused_in_one_line():
    variables = {"SLUICE_UPSTREAM": "https://upstream.test/v1", "HTTPS_PROXY": "socks5://p:1"}
    (line,) = start_in_vain(*CONFIGURED, **variables)
    assert "https_proxy: got a proxy of the kind socks5://" in line


@pytest.mark.slow
def test_a_redis_url_that_is_none_is_refused_in_one_line_without_its_password():
    (line,) = start_in_vain(*CONFIGURED, SLUICE_REDIS_URL="redis://:secret@host:port")
    assert line.startswith(
        "sluice: SLUICE_REDIS_URL: got a value that is not shown, takes redis://"
    )
    assert line.endswith("; this one takes a port from 1 to 65535: HOST:PORT")
    assert "secret" not in line


def test_a_taken_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        lines = start_in_vain(*CONFIGURED, SLUICE_BIND=address)
    assert [line for line in lines if "[INFO]" not in line] == [
        f"sluice: {address} is taken; SLUICE_BIND=127.0.0.1:8081 sets another"
    ]


@pytest.mark.slow
def test_a_unix_socket_in_use_is_one_line(tmp_path):
    path = tmp_path / "s"
    with Server(unix_socket=path):
        lines = start_in_vain(*CONFIGURED, SLUICE_BIND=f"unix:{path}")
    assert [line for line in lines if "[INFO]" not in line] == [
        f"sluice: another server listens at unix:{path}"
    ]


@pytest.mark.parametrize("worker", OTHER_WORKERS)
def test_another_worker_class_is_one_line_that_says_which_to_use(worker):
    lines = start_in_vain("-k", worker, *CONFIGURED)
    (line,) = [line for line in lines if "[INFO]" not in line]
    assert "-k gevent" in line


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent_pywsgi"])
@pytest.mark.parametrize("more", [(), ("--preload",)], ids=["loaded-late", "preloaded"])
@pytest.mark.parametrize("patches", [False, True])
def test_a_gateway_without_our_settings_says_which_worker_to_use(worker, more, patches, tmp_path):
    file = tmp_path / "gunicorn.conf.py"
    file.write_text("from gevent import monkey\nmonkey.patch_all()\n" if patches else "")
    command = ("-c", str(file), "-k", worker, "-b", "127.0.0.1:0", *more, "app:app")
    lines = start_in_vain(*command)
    told = [line for line in lines if "-k gevent" in line]
    assert len(told) == 1, lines
    assert not told[0].startswith("[")


@pytest.mark.parametrize("worker", OTHER_WORKERS)
def test_an_app_with_our_settings_does_not_start_on_a_worker_that_cannot_stream(worker):
    lines = start_in_vain(
        *("-c", "python:flask_sluice.server.settings", "-k", worker, "-b", "127.0.0.1:0"),
        "tests.server.foreign_app:app",
    )
    (line,) = [line for line in lines if not line.startswith("[")]
    assert line.startswith("sluice: ")
    assert "remove -k and worker_class" in line


@pytest.mark.parametrize("patches", [False, True])
def test_an_app_on_a_sync_worker_streams_and_is_told_once_that_others_wait(patches, tmp_path):
    file = tmp_path / "gunicorn.conf.py"
    file.write_text("from gevent import monkey\nmonkey.patch_all()\n" if patches else "")
    with Server(
        "tests.server.foreign_app:app", configuration=str(file), arguments=("-k", "sync")
    ) as server:
        for _ in range(2):
            with server.connect() as sock:
                sock.sendall(get("/stream/counts", Connection="close"))
                assert b"data: 2" in Response(sock).body()
        assert server.log.count("answers one request at a time") == 1


WARNING = "/v1/streams answers 503: with 2 workers it needs SLUICE_REDIS_URL"


@pytest.mark.slow
def test_workers_given_on_the_command_line_count():
    with Server(arguments=("-w", "2")) as server:
        wait_until(lambda: WARNING in server.log)


@pytest.mark.slow
def test_workers_given_in_the_environment_count():
    with Server(environment={"GUNICORN_CMD_ARGS": "--workers 2"}) as server:
        wait_until(lambda: WARNING in server.log)


def test_connections_given_on_the_command_line_limit_the_streams():
    with Server(arguments=("--worker-connections", "10")) as server, ExitStack() as sockets:
        assert "9 streams at once, not SLUICE_MAX_STREAMS" in server.log
        for number in range(10):
            sock = sockets.enter_context(server.connect())
            sock.sendall(post("/v1/chat/completions", chat()))
            assert Response(sock).status == (503 if number == 9 else 200)


@pytest.mark.slow
def test_an_installed_gateway_starts_in_an_empty_folder(tmp_path):
    with (
        Server(
            "flask_sluice.gateway.app:create_app()",
            configuration="python:flask_sluice.gateway.gunicorn_settings",
            folder=tmp_path,
        ) as server,
        server.connect() as sock,
    ):
        wait_until(lambda: "Try:\ncurl -N" in server.log)
        sock.sendall(get("/"))
        assert Response(sock).status == 200


def test_the_command_to_try_is_not_printed_for_another_app():
    with Server("tests.server.foreign_app:app", api_keys="key-0123456789ab") as server:
        assert "/v1" not in server.log
        assert "Sluice is at" not in server.log


def test_a_preloaded_gateway_serves_and_counts_in_all_workers():
    arguments = ("--preload", "-w", "2")
    with Server("tests.server.inspected_app:app", arguments=arguments) as server:
        for _ in range(2):
            pids: list[int] = []
            while len(set(pids)) < 2:
                pids.append(Observer(server).ask("/inspect")["pid"])
        for _ in range(6):
            with server.connect() as sock:
                sock.sendall(post("/v1/chat/completions", chat(simulator={"text": "hi"})))
                assert Response(sock).body().endswith(b"data: [DONE]\n\n")

        def have_all_been_counted() -> bool:
            with server.connect() as sock:
                sock.sendall(get("/metrics"))
                lines = Response(sock).body().decode().splitlines()
            ended = [line for line in lines if line.startswith("sluice_streams_ended_total{")]
            return sum(float(line.split()[-1]) for line in ended) == 6

        wait_until(have_all_been_counted)
        server.signal(signal.SIGTERM)
        assert server.wait_for_exit() == 0
        assert "Traceback" not in server.log


def test_logs_that_are_opened_anew_have_the_later_lines(tmp_path):
    log, old = tmp_path / "log", tmp_path / "log.1"
    with Server(arguments=("--log-file", str(log))) as server:

        def stream() -> None:
            with server.connect() as sock:
                sock.sendall(post("/v1/chat/completions", chat(simulator={"text": "hi"})))
                Response(sock).body()

        stream()
        wait_until(lambda: "stream ended" in log.read_text())
        log.rename(old)
        server.signal(signal.SIGUSR1)
        wait_until(log.exists)

        def is_in_new_file() -> bool:
            stream()
            return '"message":"stream ended"' in log.read_text()

        wait_until(is_in_new_file)
        assert "closed file" not in server.log
        assert "Traceback" not in server.log + old.read_text() + log.read_text()


def test_ctrl_c_ends_it_cleanly_also_in_mid_stream():
    with Server() as server, server.connect() as sock:
        sock.sendall(b"GET /stream_chat?name=hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(64)
        server.interrupt()
        assert server.wait_for_exit() == 0
        assert "Traceback" not in server.log


@pytest.mark.measures
def test_make_run_is_up_in_under_2_seconds_and_says_what_to_try():
    # In the calmest of three rounds, as the machine may stand still.
    assert any(seconds_until_make_run_is_up() < 2 for _ in range(3))


def seconds_until_make_run_is_up() -> float:
    """Have ``make run`` start the gateway, and end it when it has said what to try."""
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
        seconds = time.monotonic() - started_at
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        output, _ = process.communicate(timeout=50)
    assert f"Sluice is at http://127.0.0.1:{port}" in output
    assert f"curl -N http://127.0.0.1:{port}/v1/chat/completions" in output
    assert "Traceback" not in output
    assert "Error" not in output
    return seconds


@pytest.mark.slow
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
