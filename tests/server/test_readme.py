"""The examples of the README and of docs/, run as they are written; and what their tables say."""

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask

from benchmarks.ports import free_port
from flask_sluice import Streams
from flask_sluice.gateway.simulator.options import FaultKind, SimulatorOptions
from flask_sluice.gateway.simulator.scenarios.match import MatchFields
from flask_sluice.gateway.simulator.scenarios.scenario_file import read_scenario
from tests.support.readme import (
    PAGES_OF_EXTENSION,
    README,
    SIMULATOR,
    Example,
    code_blocks,
    examples,
    pages,
)
from tests.support.server import (
    ROOT,
    START_TIMEOUT_SECONDS,
    Server,
    clean_environment,
    wait_until,
)
from tests.support.stream import Response, get

PORT_OF_EXAMPLES = "localhost:8080"
PATH = re.compile(r"`((?:benchmarks|deploy|docs|examples|static|tests|wsgi)/[\w./-]*)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
PYTHON = [each for each in examples("python") if each.page not in PAGES_OF_EXTENSION]
DEPLOYMENT_TESTS = [example for example in PYTHON if "assert_streams_well(" in example.code]
HELPED_APPS = [example for example in PYTHON if "DoctorMiddleware(" in example.code]
CLIENTS = [
    example
    for example in PYTHON
    if PORT_OF_EXAMPLES in example.code and example not in DEPLOYMENT_TESTS
]
APPS = [
    example
    for example in PYTHON
    if "app = Flask(__name__)" in example.code and "redis_credentials=" not in example.code
]
CONFIGURATIONS = [
    example for example in PYTHON if re.search(r"^worker_class|^configure\(", example.code, re.M)
]
TESTS = [example for example in PYTHON if "app.test_client()" in example.code]
CONFTEST = [example for example in PYTHON if "pytest_plugins = " in example.code]
FIXTURE_TESTS = [
    example for example in PYTHON if re.search(r"^def test_\w+\(sse\):", example.code, re.M)
]
LLM_TESTS = [
    example for example in PYTHON if re.search(r"^def test_\w+\(llm\):", example.code, re.M)
]
LLM_PROGRAMS = [
    example for example in PYTHON if re.search(r"^with simulated_llm\(", example.code, re.M)
]
STARTS = re.compile(r"^    ((?:flask|gunicorn|python -m gevent\.monkey) .*\bcountdown\b.*)", re.M)
COMMANDS = sorted({command for page in pages() for command in STARTS.findall(page.read_text())})
"""Those that start the app of the README's first example."""
CREDENTIALS = [example for example in PYTHON if "class PasswordFile" in example.code]
WITH_CREDENTIALS = [example for example in PYTHON if "redis_credentials=tokens" in example.code]
"""tests/system/test_redis_credentials_example.py runs it."""
WITH_RECORDINGS = [example for example in PYTHON if '"--replay", "recordings"' in example.code]
CONSOLE = [*examples("console"), *examples("sh")]


class Route(NamedTuple):
    """A route of the apps in the examples. end: how its stream ends, b"" if it has no end of its own."""

    path: str
    sends: bytes
    end: bytes


ROUTES = (
    Route("/countdown?from=1", b'data: {"left":1}\n\n', b"event: done\ndata: lift-off\n\n"),
    Route("/report", b"data: The first page.\n\n", b'"code":"printer_out"}}\n\n'),
    Route("/answer", b'data: {"token":"word"}\n\n', b'data: {"kind":"OutOfTokens"}\n\n'),
    Route("/model", b"data: WSGI\n\n", b"data: streams\n\n"),
    Route("/temperatures", b'data: {"celsius":21}\n\n', b""),
)


def test_every_example_in_python_is_run():
    """Here, by test_readme_extension.py, or by another test that is named above."""
    kinds = [*CLIENTS, *APPS, *CONFIGURATIONS, *TESTS, *CONFTEST, *FIXTURE_TESTS]
    kinds += [*WITH_RECORDINGS, *LLM_TESTS, *LLM_PROGRAMS]
    kinds += [*CREDENTIALS, *WITH_CREDENTIALS, *DEPLOYMENT_TESTS, *HELPED_APPS]
    assert sorted(map(str, kinds)) == sorted(map(str, PYTHON))


@pytest.mark.parametrize("example", CREDENTIALS, ids=str)
def test_credentials_of_the_pages_are_taken_and_read_a_file(example, tmp_path):
    file = tmp_path / "redis-password"
    file.write_text("secret\n")
    made: dict[str, type] = {}
    exec(example.code.replace("/run/secrets/redis-password", str(file)), made)
    credentials = made["PasswordFile"]()
    assert credentials.get_credentials() == ("secret",)
    Streams("redis://cache.example:6379", credentials=credentials)


@pytest.mark.slow
@pytest.mark.parametrize("example", DEPLOYMENT_TESTS, ids=str)
def test_a_test_of_a_deployment_passes(sluice, tmp_path, example):
    code = example.code.replace(PORT_OF_EXAMPLES, f"127.0.0.1:{sluice.port}")
    (tmp_path / "test_deployment.py").write_text(code)
    run_tests(tmp_path)


@pytest.mark.parametrize("example", HELPED_APPS, ids=str)
def test_an_app_helps_the_doctor(example):
    app = Flask(__name__)
    app.get("/answer")(lambda: "an answer")
    exec(example.code, {"app": app})
    report = app.test_client().get("/answer", headers={"Sluice-Doctor": "1"}, buffered=True)
    assert (
        app.test_client().get(report.headers["Sluice-Doctor-Report"]).json["outcome"] == "complete"
    )


@pytest.mark.slow
@pytest.mark.parametrize("example", CLIENTS, ids=str)
def test_a_client_prints_the_answer(sluice, example):
    program = example.code.replace(PORT_OF_EXAMPLES, f"127.0.0.1:{sluice.port}")
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.split()) > 30


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(each, id=str(each), marks=[pytest.mark.slow] * (each.page != "README.md"))
        for each in APPS
    ],
)
def test_an_app_streams(tmp_path, monkeypatch, example):
    (route,) = (route for route in ROUTES if f'"{route.path.partition("?")[0]}"' in example.code)
    (tmp_path / "example_app.py").write_text(example.code)
    with Server(
        "example_app:app", configuration="python:flask_sluice.server.settings", folder=tmp_path
    ) as server:
        assert_streams(server, route)


@pytest.mark.slow
@pytest.mark.parametrize("example", CONFIGURATIONS, ids=str)
def test_a_configuration_serves_streams(tmp_path, example):
    write_countdown(tmp_path)
    (tmp_path / "gunicorn.conf.py").write_text(example.code)
    with Server("countdown:app", folder=tmp_path) as server:
        assert_streams(server, ROUTES[0])


@pytest.mark.slow
@pytest.mark.parametrize("example", TESTS, ids=str)
def test_a_test_passes(tmp_path, example):
    (tmp_path / "test_example.py").write_text(example.code)
    run_tests(tmp_path)


@pytest.mark.slow
def test_a_test_with_the_fixture_passes(tmp_path):
    (conftest,), (tests,) = CONFTEST, FIXTURE_TESTS
    (tmp_path / "conftest.py").write_text(conftest.code)
    (tmp_path / "test_example.py").write_text(tests.code)
    run_tests(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("example", LLM_TESTS, ids=str)
def test_a_test_with_a_simulated_model_passes(tmp_path, example):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["flask_sluice.testing"]\n')
    (tmp_path / "test_example.py").write_text(example.code)
    run_tests(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("example", LLM_PROGRAMS, ids=str)
def test_a_program_with_a_simulated_model_runs(tmp_path, example):
    subprocess.run([sys.executable, "-c", example.code], cwd=tmp_path, timeout=50, check=True)


@pytest.mark.parametrize("example", examples("toml"), ids=str)
def test_a_scenario_of_the_pages_is_taken(tmp_path, example):
    (tmp_path / "scenario.toml").write_text(example.code)
    assert read_scenario(tmp_path / "scenario.toml").rules


def test_every_field_of_a_rule_is_listed():
    for name in MatchFields.__struct_fields__:
        assert re.search(rf"`{name}(\.NAME)?`", SIMULATOR)


def run_tests(folder: Path) -> None:
    write_countdown(folder)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        timeout=50,
        check=True,
    )


def test_an_exception_before_held_headers_is_the_apps_own_answer(tmp_path, monkeypatch):
    (example,) = (example for example in APPS if "hold_headers" in example.code)
    (tmp_path / "example_app.py").write_text(example.code)
    monkeypatch.syspath_prepend(tmp_path)
    client = importlib.import_module("example_app").app.test_client()
    assert client.get("/answer?tokens=0").status_code == 402


@pytest.mark.timeout(30)
def test_streams_with_asyncio_run_side_by_side(tmp_path):
    (example,) = (example for example in APPS if "import asyncio" in example.code)
    (tmp_path / "example_app.py").write_text(example.code)
    with (
        Server(
            "example_app:app", configuration="python:flask_sluice.server.settings", folder=tmp_path
        ) as server,
        server.connect() as first,
        server.connect() as second,
    ):
        for sock in (first, second):
            sock.sendall(get("/model"))
        for sock in (first, second):
            assert Response(sock).body().endswith(b"data: WSGI\n\ndata: streams\n\n")


def test_the_first_example_of_the_readme_is_an_app():
    assert "app = Flask(__name__)" in code_blocks("python", README)[0]


def test_each_page_on_apps_says_how_to_start_one():
    assert len(COMMANDS) == 4


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_starts_the_app(tmp_path, command):
    write_countdown(tmp_path)
    with Started(command, tmp_path) as server:
        assert_streams(server, ROUTES[0])


class Started:
    """A server that a command of the pages has started, on a port of its own."""

    def __init__(self, command: str, folder: Path) -> None:
        self._port = free_port()
        program, *arguments = command.split()
        at = ["--bind", f"127.0.0.1:{self._port}"]
        if "flask" in command.split():
            at = ["--port", str(self._port)]
        self._process = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *arguments, *at],
            cwd=folder,
            env={**clean_environment(), "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> "Started":
        try:
            wait_until(self._answers, START_TIMEOUT_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The reloader of `flask run --debug` has a child.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return False
        return True

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), START_TIMEOUT_SECONDS)


def write_countdown(folder: Path) -> None:
    app = next(example for example in APPS if example.page == "README.md")
    (folder / "countdown.py").write_text(app.code)


def assert_streams(server: "Server | Started", route: Route) -> None:
    with server.connect() as sock:
        sock.sendall(get(route.path))
        response = Response(sock)
        if not route.end:
            assert response.until(route.sends)
            return
        body = response.body()
    assert route.sends in body
    assert body.endswith(route.end)


def test_every_example_for_a_shell_is_run():
    """By the five tests below."""
    assert [example.page for example in CONSOLE] == [
        "docs/doctor.md",
        "docs/gateway.md",
        "docs/resumable-streams.md",
        "docs/record-and-replay.md",
        "docs/simulator.md",
    ]


@pytest.mark.slow
def test_the_doctor_finds_what_its_example_shows(sluice):
    (session,) = sessions("docs/doctor.md")
    (command,) = re.findall(r"^\$ sluice (.*)", session.code, re.MULTILINE)
    printed = run(f"{sys.executable} -m flask_sluice {command}", sluice)
    shown = _verdicts(session.code)
    assert shown
    assert shown <= _verdicts(printed)


def _verdicts(report: str) -> set[tuple[str, str]]:
    """The verdicts in what the doctor prints, each with the name of its check."""
    return set(re.findall(r"^  (ok|warning|fault|skipped) +([\w-]+)", report, re.MULTILINE))


def test_the_chat_example_prints_the_stream(sluice):
    (session,) = sessions("docs/gateway.md")
    (command,) = commands(session)
    printed = run(command, sluice)
    shown = re.findall(r'"delta":{[^}]*}', session.code)
    assert re.findall(r'"delta":{[^}]*}', printed) == shown
    assert printed.endswith("data: [DONE]\n\n")


@pytest.mark.slow
def test_the_recorded_example_is_a_test_that_passes(sluice, tmp_path):
    (session,) = sessions("docs/record-and-replay.md")
    (command,) = commands(session)
    with Server(upstream=f"{sluice.url}/v1", record=tmp_path / "recordings") as recorder:
        assert run(command, recorder).endswith("data: [DONE]\n\n")
    (test,) = WITH_RECORDINGS
    code = test.code.replace('"sluice"', f'"{sys.executable}", "-m", "flask_sluice"')
    (tmp_path / "test_replayed.py").write_text(code.replace("8099", str(free_port())))
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_replayed.py"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_resumable_example_makes_a_stream_and_reads_it(sluice):
    (session,) = sessions("docs/resumable-streams.md")
    create, read = commands(session)
    created = json.loads(run(create, sluice))
    url_shown = json.loads(re.search(r"^{.*}$", session.code, re.MULTILINE)[0])["url"]
    printed = run(read.replace(url_shown, created["url"]), sluice)
    beginning, _, end = session.code.partition(f"{read}\n")[2].partition("…")
    assert printed.startswith(beginning.partition("data: ")[0])
    assert printed.strip().endswith(end.rpartition("…\n")[2].strip())


def test_the_example_of_a_fault_ends_with_an_error_event(sluice):
    (session,) = sessions("docs/simulator.md")
    (command,) = commands(session)
    shortened = command.replace('"model": "any"', '"model": "any", "max_tokens": 5')
    assert '"error":{' in run(shortened, sluice).split("\n\n")[-2]


def sessions(page: str) -> list[Example]:
    return [example for example in CONSOLE if example.page == page]


def commands(session: Example) -> list[str]:
    """Return the commands of curl: what follows a prompt, or the whole of a block without prompts."""
    if session.language == "sh":
        return [session.code]
    return re.findall(r"^\$ (curl (?:.*\\\n)*.*)", session.code, re.MULTILINE)


def run(command: str, server: Server) -> str:
    """Return what a line of the shell prints, with the examples' address replaced by the server's."""
    return subprocess.run(
        ["bash", "-c", command.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    ).stdout


def test_every_fault_and_every_field_of_the_simulator_is_listed():
    for name in (*FaultKind.__args__, *SimulatorOptions.__struct_fields__):
        assert f"`{name}`" in SIMULATOR


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page):
    for path, heading in LINK.findall(page.read_text()):
        if path.startswith(("http:", "https:")):
            continue
        target = page.parent / path if path else page
        assert target.exists(), path
        if heading:
            assert heading in headings(target.read_text()), f"{path}#{heading}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_folders_that_a_page_names_exist(page):
    assert [path for path in PATH.findall(page.read_text()) if not (ROOT / path).exists()] == []


def headings(text: str) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short():
    assert README.count("\n") <= 150
