"""deploy/Containerfile: what is in the image, and how it starts, serves and ends."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.server import wait_until
from tests.support.stream import Response, chat, post
from tests.system.container import Container, Podman

# The image takes two or three minutes and both cores.
pytestmark = [pytest.mark.slow, pytest.mark.deployment, pytest.mark.timeout(900)]

HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
)
"""As deploy/kubernetes.yaml has it."""
AS_ROOT = ("--user", "0")
"""Looks into every folder."""


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with Podman() as podman:
        yield podman


@pytest.fixture(scope="module")
def container(podman) -> Iterator[Container]:
    with Container(podman, *HARDENED) as container:
        yield container


def test_nothing_is_left_that_builds_or_installs_python_packages(podman):
    assert podman.inside("which pip gcc cc make git curl || true") == ""
    found = (
        "find / -xdev -path '*-packages/pip' -o -path '*-packages/setuptools' -o -name ensurepip"
    )
    assert podman.inside(found, *AS_ROOT) == ""


def test_user_is_not_root_and_owns_nothing(podman):
    assert podman.inside("id -u; id -g").split() == ["10001", "10001"]
    assert podman.inside("find / -xdev -user 10001 -o -xdev -group 10001", *AS_ROOT) == ""


def test_serves_without_capabilities_on_a_root_that_cannot_be_written(container):
    with container.connect() as sock:
        sock.sendall(post("/v1/chat/completions", chat(simulator={"itl_ms": 0})))
        assert Response(sock).body().endswith(b"data: [DONE]\n\n")
    assert "Traceback" not in container.log


def test_starts_without_any_folder_for_temporary_files(podman):
    with Container(podman, *HARDENED, "--env", "TMPDIR=/nowhere") as container:
        assert "Traceback" not in container.log


def test_gunicorn_is_process_1_and_belongs_to_the_user(container):
    command, user = container.execute(
        "tr '\\0' ' ' < /proc/1/cmdline; echo; stat -c %u /proc/1"
    ).splitlines()
    assert "gunicorn" in command
    assert user == "10001"


def test_process_1_reaps_what_others_leave(container):
    orphan = container.execute("sh -c 'sleep 2 > /dev/null & echo $!'").strip()
    parent = f"sed -n 's/^PPid:\\t//p' /proc/{orphan}/status"
    assert container.execute(parent).strip() == "1"
    wait_until(lambda: container.execute(f"ls -d /proc/{orphan} || true").startswith("ls:"))


def test_health_check_asks_whether_the_worker_turns_its_loop(container):
    assert container.is_healthy()
    worker = container.execute("cat /proc/1/task/1/children").split()[0]
    container.execute(f"kill -STOP {worker}")
    try:
        assert not container.is_healthy()
    finally:
        container.execute(f"kill -CONT {worker}")
    wait_until(container.is_healthy)


def test_stop_lets_streams_come_to_their_end(podman):
    with Container(podman, *HARDENED) as container, container.connect() as sock:
        body = chat(simulator={"tokens": 20, "itl_ms": 100})
        sock.sendall(post("/v1/chat/completions", body))
        response = Response(sock)
        assert response.until(b"data: ")
        codes: list[int] = []
        stopping = threading.Thread(target=lambda: codes.append(container.stop(seconds=60)))
        stopping.start()
        assert response.body().endswith(b"data: [DONE]\n\n")
        stopping.join()
    assert codes == [0]
