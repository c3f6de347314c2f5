"""Debian's podman: builds deploy/Containerfile on a root made of Debian's packages, and runs the image. It reaches no registry of
images."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from benchmarks.ports import free_port
from tests.support.server import ROOT, answers_on, wait_until

_BASE = "docker.io/library/debian:12-slim"
_IMAGE = "localhost/sluice"
_BUILD_SECONDS = 600
_PROGRAMS = ("mmdebstrap", "podman", "runc")
# The root trusts the certificates that this machine trusts, so that pip works in it as it does here.
_HOOKS = (
    'cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"',
    'printf "[global]\\ncert = /etc/ssl/certs/ca-certificates.crt\\ntimeout = 100\\n" > "$1/etc/pip.conf"',
)
# podman's own limits are higher than a container of the tests may set them.
_RUNS = ("--runtime", "runc", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")  # fmt: skip


class Podman:
    """Its images and containers are in a folder of their own, and are removed with it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sluice-podman-"))

    def __enter__(self) -> "Podman":
        if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
            give_up = pytest.fail if "CI" in os.environ else pytest.skip
            give_up(f"not installed: {missing}; tests/install-system-packages installs them")
        if os.geteuid() != 0:
            pytest.skip("needs root, to make a root of Debian's packages")
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.run("rm", "--all", "--force", "--time", "0")
        self.run("umount", "--all")
        shutil.rmtree(self._folder)

    def _build(self) -> None:
        root = self._folder / "root.tar"
        hooks = [f"--customize-hook={hook}" for hook in _HOOKS]
        options = ["--quiet", "--variant=minbase", "--include=ca-certificates", *hooks]
        mirror = "http://deb.debian.org/debian"
        subprocess.run(
            ["mmdebstrap", *options, "bookworm", root, mirror], check=True, timeout=_BUILD_SECONDS
        )
        self.run("import", "--quiet", str(root), _BASE)
        root.unlink()
        file = str(ROOT / "deploy/Containerfile")
        # Docker's format, because OCI's has no health check.
        built = ("build", "--pull=never", "--format", "docker", *_RUNS, "--file", file)
        self.run(*built, "--tag", _IMAGE, str(ROOT))

    def run(self, *arguments: str) -> str:
        """Run podman, and return what it prints."""
        ended = self.try_to_run(*arguments)
        assert ended.returncode == 0, f"{arguments}:\n{ended.stdout}"
        return ended.stdout

    def try_to_run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        folders = ["--root", self._folder / "images", "--runroot", self._folder / "run"]
        # podman complains that systemd is not there to repeat health checks; the tests ask for them.
        return subprocess.run(
            ["podman", "--log-level", "fatal", *folders, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )

    def inside(self, command: str, *options: str) -> str:
        """Run a shell's command in a new container instead of Sluice, and return what it prints. options: podman's"""
        shell = ("--entrypoint", "sh", _IMAGE, "-c", command)
        return self.run("run", "--rm", *_RUNS, *options, *shell)


class Container:
    """The image, running. options: podman's"""

    def __init__(self, podman: Podman, *options: str) -> None:
        self._podman = podman
        self.port = free_port()
        bind = f"SLUICE_BIND=127.0.0.1:{self.port}"
        self._id = podman.run("run", "--detach", *_RUNS, "--env", bind, *options, _IMAGE).strip()

    def __enter__(self) -> "Container":
        try:
            wait_until(lambda: answers_on(self.port), 40, lambda: self.log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._podman.run("rm", "--force", "--time", "0", self._id)

    @property
    def log(self) -> str:
        return self._podman.run("logs", self._id)

    def execute(self, command: str) -> str:
        return self._podman.run("exec", self._id, "sh", "-c", command)

    def is_healthy(self) -> bool:
        return self._podman.try_to_run("healthcheck", "run", self._id).returncode == 0

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 40)

    def stop(self, seconds: int) -> int:
        """Stop it as an operator does, and return its exit code."""
        self._podman.run("stop", "--time", str(seconds), self._id)
        state = json.loads(self._podman.run("inspect", self._id))[0]["State"]
        return int(state["ExitCode"])
