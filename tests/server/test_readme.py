"""The README's examples, run as they are written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flask_sluice.gateway.settings import PREFIX, Settings
from flask_sluice.gateway.simulator.request_schema import FaultKind
from tests.support.readme import README, example
from tests.support.server import ROOT, Server
from tests.support.stream import Response, get

PORT_OF_README = "localhost:8080"


@pytest.mark.slow
@pytest.mark.parametrize(
    "mark", ["from openai import", "import requests", "from flask_sluice.client import"]
)
def test_a_client_in_python_prints_the_answer(sluice, mark):
    program = example("python", mark).replace(PORT_OF_README, f"127.0.0.1:{sluice.port}")
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


def test_the_curl_line_prints_the_stream(sluice):
    session = example("console", "curl -N http://127.0.0.1:8080/v1/chat")
    printed = run(session.partition("data: ")[0].removeprefix("$ "), sluice)
    shown = re.findall(r'"delta":{[^}]*}', session)
    assert re.findall(r'"delta":{[^}]*}', printed) == shown
    assert printed.endswith("data: [DONE]\n\n")


def test_the_curl_lines_make_a_stream_and_read_it(sluice):
    session = example("console", "curl -s http://127.0.0.1:8080/v1/streams")
    create, read = re.findall(r"^\$ (curl (?:.*\\\n)*.*)", session, re.MULTILINE)
    created = json.loads(run(create, sluice))
    url_shown = json.loads(re.search(r"^{.*}$", session, re.MULTILINE)[0])["url"]
    printed = run(read.replace(url_shown, created["url"]), sluice)
    beginning, _, end = session.partition(f"{read}\n")[2].partition("…")
    assert printed.startswith(beginning.partition("data: ")[0])
    assert printed.strip().endswith(end.rpartition("…\n")[2].strip())


def run(command: str, server: Server) -> str:
    """What a line of the shell prints, with the README's address replaced by the server's."""
    return subprocess.run(
        ["bash", "-c", command.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    ).stdout


def test_the_view_in_a_flask_app_of_ones_own_streams(tmp_path: Path, monkeypatch):
    (tmp_path / "countdown_app.py").write_text(example("python", "sse_response(countdown"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    configuration = tmp_path / "configuration.py"
    configuration.write_text(example("python", "monkey.patch_all()"))
    with (
        Server("countdown_app:app", configuration=str(configuration)) as server,
        server.connect() as sock,
    ):
        sock.sendall(get("/countdown?from=1"))
        body = Response(sock).body()
    assert b'data: {"left":1}\n\n' in body
    assert body.endswith(b"event: done\ndata: lift-off\n\n")


def test_every_setting_is_listed_with_its_default():
    listed = dict(re.findall(r"^\| `(SLUICE_\w+)` \| (.*?) \|", README, re.MULTILINE))
    defaults = Settings()
    assert listed.keys() == {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    for name in Settings.__dataclass_fields__:
        shown = listed[PREFIX + name.upper()].strip("`")
        default = getattr(defaults, name)
        words = {
            (): ("any" if name == "models" else "none"),
            "": "none",
            True: "1",
            **{count * 1024 * 1024: f"{count} MiB" for count in (4, 10, 256)},
        }
        expected = words.get(
            default, f"{default:g}" if isinstance(default, float) else str(default)
        )
        assert shown == expected, name


def test_every_fault_is_listed():
    for kind in FaultKind.__args__:
        assert f"`{kind}`" in README
