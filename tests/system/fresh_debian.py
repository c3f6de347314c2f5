"""A Debian of its own, made of Debian's packages and booted with systemd, on which a test walks through docs/deployment.md."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.server import ROOT, wait_until

_PROGRAMS = ("mmdebstrap", "systemd-nspawn")
_MIRROR = "http://deb.debian.org/debian"
_INSTALL_SECONDS = 600
_BOOT_SECONDS = 60
# There may be no systemd on this machine to register with.
_NSPAWN_OPTIONS = (
    *("--quiet", "--register=no", "--keep-unit", "--boot"),
    *("--resolv-conf=copy-host", "--console=pipe"),
)
_ENVIRONMENT = (
    *("HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
    "DEBIAN_FRONTEND=noninteractive",
)
# The certificates that this machine trusts, so that pip works there as it does here.
_HOOK = """
mkdir -p "$1/usr/local/share/ca-certificates"
cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2> /dev/null || true
printf "[global]\\ncert = /etc/ssl/certs/ca-certificates.crt\\ntimeout = 100\\n" > "$1/etc/pip.conf"
"""


class FreshDebian:
    """It shares this machine's network, because apt and pip need one: its ports have to be free.

    name: of the host, which it resolves to itself
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._folder = Path(tempfile.mkdtemp(prefix="sluice-debian-"))
        self._root = self._folder / "root"
        self._nspawn: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "FreshDebian":
        if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
            give_up = pytest.fail if "CI" in os.environ else pytest.skip
            give_up(f"not installed: {missing}; tests/install-system-packages installs them")
        if os.geteuid() != 0:
            pytest.skip("needs root, to make a root of Debian's packages")
        try:
            self._make_root()
            self._make_source()
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._nspawn is not None:
            # nspawn passes it on as an orderly shutdown, and then ends.
            self._nspawn.send_signal(signal.SIGTERM)
            try:
                self._nspawn.wait(_BOOT_SECONDS)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        shutil.rmtree(self._folder)

    def _make_root(self) -> None:
        options = ["--quiet", "--variant=minbase", "--include=systemd,systemd-sysv,dbus"]
        subprocess.run(
            ["mmdebstrap", *options, f"--customize-hook={_HOOK}", "bookworm", self._root, _MIRROR],
            check=True,
            timeout=_INSTALL_SECONDS,
        )
        with (self._root / "etc/hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 localhost {self._name}\n")

    def _make_source(self) -> None:
        """A repository with the files as they are now, committed or not."""
        source = self._root / "source"
        git = ["git", "-c", "safe.directory=*", "-c", "user.name=x", "-c", "user.email=x@x.test"]
        subprocess.run([*git, "clone", "--quiet", ROOT, source], check=True)
        listed = [
            *git,
            "-C",
            ROOT,
            "ls-files",
            "-z",
            "--modified",
            "--others",
            "--exclude-standard",
        ]
        for name in filter(None, subprocess.check_output(listed, text=True).split("\0")):
            if (ROOT / name).exists():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, source / name)
        subprocess.run([*git, "-C", source, "add", "--all"], check=True)
        subprocess.run(
            [*git, "-C", source, "commit", "--quiet", "--allow-empty", "--message", "now"],
            check=True,
        )

    def _boot(self) -> None:
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", *_NSPAWN_OPTIONS, "-D", self._root],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._is_up, _BOOT_SECONDS)

    def _is_up(self) -> bool:
        return bool(self._leader()) and self.run("systemctl is-system-running") in (
            "running\n",
            "degraded\n",
        )

    def _leader(self) -> str:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "systemd-nspawn ended"
        pid = self._nspawn.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    def run(self, script: str, *, check: bool = False) -> str:
        """Run a script there as root, and return what it prints. check: fail at the first command that fails"""
        shell = ["bash", *(["-ex", "-o", "pipefail"] if check else []), "-c", script]
        ended = subprocess.run(
            ["nsenter", "--all", "--target", self._leader(), "env", "-i", *_ENVIRONMENT, *shell],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
        assert not check or ended.returncode == 0, ended.stdout[-5000:]
        return ended.stdout
