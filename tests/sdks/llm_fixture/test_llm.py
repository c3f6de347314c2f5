"""The fixture ``llm`` and ``simulated_llm`` as other projects use them: in a pytest of their own, killed, forked, without extras."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flask_sluice.testing import simulated_llm
from tests.sdks.llm_fixture.project import FILES
from tests.support.server import ROOT, clean_environment, wait_until, without_proxies

TIMEOUT_SECONDS = 100


def environment():
    return {
        **without_proxies(clean_environment()),
        "PYTHONPATH": str(ROOT / "wsgi"),
        # Settings of the person who runs the tests are not the simulator's.
        "SLUICE_UPSTREAM": "http://127.0.0.1:1/v1",
        "GUNICORN_CMD_ARGS": "--workers 3",
    }


def python(*arguments, folder):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def group_of(leader):
    """The processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        try:
            if os.getpgid(pid) == leader and is_running(pid):
                found.append(pid)
        except ProcessLookupError:
            continue
    return found


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_tests_of_another_project_pass(project, arguments):
    tests = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "tests", folder=project
    )
    output, _ = tests.communicate(timeout=TIMEOUT_SECONDS)
    assert tests.returncode == 0, output
    assert " passed" in output


STARTS_ONE = """\
import sys, time
from flask_sluice.testing import simulated_llm
with simulated_llm() as llm:
    print(llm.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_the_simulator_does_not_survive_a_killed_test(tmp_path):
    program = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        pid = int(program.stdout.readline())
        assert len(group_of(pid)) == 3, "the supervisor, gunicorn and its worker"
        program.send_signal(signal.SIGKILL)
        program.wait()
    wait_until(lambda: not group_of(pid))


def test_the_simulator_has_ended_with_the_block_also_when_that_fails():
    def fail_inside():
        with simulated_llm() as llm:
            pids.extend(group_of(llm.pid))
            raise KeyError("of the test")

    pids = []
    with pytest.raises(KeyError):
        fail_inside()
    assert pids
    wait_until(lambda: not any(is_running(pid) for pid in pids))


@pytest.mark.slow
def test_a_fork_of_the_test_does_not_hold_up_the_end():
    reading, writing = os.pipe()
    with simulated_llm() as llm:
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        pid = llm.pid
    wait_until(lambda: not group_of(pid))
    os.close(writing)
    os.close(reading)
    os.waitpid(child, 0)


def test_a_simulator_that_has_ended_is_told():
    with simulated_llm() as llm:
        os.killpg(llm.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="the simulator has ended"):
            llm.answer("x")


def test_two_at_a_time_are_apart():
    with simulated_llm() as one, simulated_llm() as other:
        assert one.url != other.url
        one.answer("x")
        assert one.requests == other.requests == []


def test_settings_of_the_gateway_may_be_given():
    with simulated_llm(models="gpt-4o") as llm:
        assert llm.url.startswith("http://127.0.0.1:")


@pytest.mark.slow
def test_a_simulator_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="SLUICE_MAX_STREAMS"), simulated_llm(max_streams="no"):
        pass


WITHOUT_THE_EXTRA = """\
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "gevent" else find(name, *a)
from flask_sluice.testing import simulated_llm
assert not {"gevent", "gunicorn", "urllib3", "redis"} & set(sys.modules)
with simulated_llm():
    pass
"""


def test_without_the_extra_the_command_that_installs_it_is_told(tmp_path):
    program = python("-c", WITHOUT_THE_EXTRA, folder=tmp_path)
    output, _ = program.communicate(timeout=TIMEOUT_SECONDS)
    assert output.splitlines()[-1].endswith(
        "LlmStartError: the simulator needs gevent: pip install 'flask-sluice[gateway]'"
    )


def test_on_windows_it_is_said_what_to_use(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(RuntimeError, match="use WSL or a container"), simulated_llm():
        pass


IN_GEVENT = """\
from gevent import monkey
monkey.patch_all()
import urllib.request
from flask_sluice.testing import simulated_llm
with simulated_llm() as llm:
    urllib.request.urlopen(llm.openai_url + "/models").read()
    assert [request.path for request in llm.requests] == ["/v1/models"]
print("done")
"""


@pytest.mark.slow
def test_it_works_in_a_process_that_gevent_has_patched(tmp_path):
    program = python("-c", IN_GEVENT, folder=tmp_path)
    output, _ = program.communicate(timeout=TIMEOUT_SECONDS)
    assert output.splitlines()[-1:] == ["done"], output
