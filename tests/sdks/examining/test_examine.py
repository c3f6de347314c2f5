"""``sluice simulate --examine COMMAND`` runs a client against each fault, and tells which it took for success."""

import json
import subprocess
import sys

import pytest

from flask_sluice.testing.examining.cases import CASES
from tests.support.server import ROOT

CAREFUL = """
import json, os, sys, urllib.request
body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
)
text, is_whole = "", False
with urllib.request.urlopen(request, timeout=1) as response:
    if not response.headers["Content-Type"].startswith("text/event-stream"):
        sys.exit("no stream")
    events = 0
    while line := response.readline():
        if line == b"data: [DONE]\\n":
            is_whole = True
        elif line.startswith(b"data: "):
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
        elif line.startswith(b": keep-alive"):
            sys.exit("silence")
print(text)
sys.exit(0 if is_whole else 3)
"""
CARELESS = CAREFUL.replace("0 if is_whole else 3", "0").replace(
    'sys.exit("no stream")', 'print("no stream"); sys.exit(0)'
)


def examine(tmp_path, source, *options):
    client = tmp_path / "client.py"
    client.write_text(source)
    command = f"{sys.executable} {client}"
    return subprocess.run(
        [sys.executable, "-m", "flask_sluice", "simulate", "--examine", command, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_a_careful_client_can_be_trusted(tmp_path):
    ran = examine(tmp_path, CAREFUL, "--timeout", "20")
    assert ran.stdout.endswith("it tells a whole answer from each of these.\n"), ran
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("\n") == len(CASES) + 2


@pytest.mark.slow
def test_a_careless_client_is_told_what_it_took_for_success(tmp_path):
    ran = examine(tmp_path, CARELESS, "--timeout", "20", "--json")
    found = {each["case"]: each for each in json.loads(ran.stdout)}
    assert ran.returncode == 1
    assert list(found) == [case.name for case in CASES]
    assert {name for name, each in found.items() if each["verdict"] == "fault"} == {
        "truncated",
        "cut",  # urllib's readline() takes a missing last chunk for the end.
        "not-a-stream",
    }
    assert found["overloaded-once"]["requests"] == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("print('hello')", "the command sent no request to the simulator"),
        (
            f"{CAREFUL}\nraise SystemExit('broken')".replace("sys.exit(0 if", "(0 if"),
            "the command fails (exit code 1)",
        ),
    ],
)
def test_a_command_that_cannot_be_examined_is_told_why(tmp_path, source, message):
    ran = examine(tmp_path, source)
    assert ran.returncode == 2
    assert message in ran.stderr


def test_a_command_that_takes_too_long_without_a_fault_is_told_so(tmp_path):
    waits = f"{CAREFUL.replace('sys.exit(0 if', '(0 if')}\nimport time; time.sleep(60)"
    ran = examine(tmp_path, waits, "--timeout", "1.5")
    assert ran.returncode == 2
    assert "--timeout gives it longer" in ran.stderr


def test_a_timeout_is_a_number_of_seconds(tmp_path):
    ran = examine(tmp_path, CAREFUL, "--timeout", "soon")
    assert (ran.returncode, "--timeout" in ran.stderr) == (2, True)


@pytest.mark.parametrize("option", ["--scenario", "--replay"])
def test_an_examination_sets_the_answers_itself(tmp_path, option):
    ran = examine(tmp_path, CAREFUL, option, str(tmp_path))
    message = "sluice: --examine sets the answers itself; leave --scenario and --replay out\n"
    assert (ran.returncode, ran.stderr) == (2, message)
