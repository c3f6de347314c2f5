"""Environments with the wheel: the oldest versions that it allows, or the newest, on each Python of this machine."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import ROOT, clean_environment

OLDEST = (3, 10)
NEWEST = (3, 13)
MIN_PYTHONS = 2
# gevent's oldest release has wheels for these only.
FLOORS_PYTHONS = ((3, 10), (3, 11))
# Dependencies of the oldest releases that have changed since: they need the versions of their time.
FLOORS_OF_OTHERS = (
    "setuptools==65.5.0",  # gunicorn 20.1 imports pkg_resources, which later releases warn of and then lack
    "zope.interface<6",  # gevent 22.10 asks pkg_resources for it, which does not know its newer wheels
    "zope.event<5",
)
# pip may wait for its registry, and the library's tests take two minutes on a busy machine.
TIMEOUT_SECONDS = 400
TEST_TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "requests")
_SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


@dataclass(frozen=True)
class Versions:
    """A Python, and which versions of the dependencies are installed for it."""

    python: tuple[int, int]
    kind: str
    """"floors", "newest" or "prereleases"."""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.python[0]}.{self.python[1]}"


class Environment:
    """A virtual environment with the wheel."""

    def __init__(self, folder: Path, versions: Versions) -> None:
        self.versions = versions
        self.folder = folder
        self.python = folder / "bin/python"
        _run(str(find_pythons()[versions.python]), "-m", "venv", "--without-pip", str(folder))

    def install(self, wheel: Path, extras: str, *others: str) -> None:
        """Install the wheel with extras such as "[gateway]", and other packages."""
        requirements = [f"flask-sluice{extras} @ {wheel.as_uri()}", *others]
        options = ["--only-binary", ":all:"]
        if self.versions.kind == "floors":
            constraints = self.folder / "floors.txt"
            constraints.write_text("\n".join([*floors(wheel), *FLOORS_OF_OTHERS]))
            options += ["--constraint", str(constraints)]
        if self.versions.kind == "prereleases":
            options += ["--pre"]
        pip = [sys.executable, "-m", "pip", "--python", str(self.python)]
        _run(*pip, "install", "--quiet", "--disable-pip-version-check", *options, *requirements)

    def install_beside(self, folder: Path, *packages: str) -> None:
        """Install packages without their dependencies into a folder, which comes first in ``PYTHONPATH`` where it is used."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python)]
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:")
        _run(*pip, "install", *options, "--target", str(folder), *packages)

    def command(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def run(
        self, *command: str, folder: Path, timeout_seconds: float = 60, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program of this environment in the folder. The first word is a command in ``bin``.

        variables: for its environment
        """
        return subprocess.run(
            [self.command(command[0]), *command[1:]],
            cwd=folder,
            env={**environment_variables(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def evaluate(self, program: str, folder: Path) -> str:
        """Run a Python program in the folder and return its output."""
        result = self.run("python", "-c", program, folder=folder)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def site_packages(self, folder: Path) -> Path:
        return Path(self.evaluate(_SITE_PACKAGES, folder))


def choose_versions(*, are_prereleases: bool = False) -> list[Versions]:
    """Return the oldest versions on the oldest Python, then the newest versions on each Python, the newest first."""
    pythons = sorted(find_pythons())
    if len(pythons) < MIN_PYTHONS or pythons[0] not in FLOORS_PYTHONS:
        raise RuntimeError(
            "the tests of the wheel need two of Python 3.10 to 3.13, on PATH or from pyenv, one of them 3.10 or 3.11"
        )
    if are_prereleases:
        return [Versions(pythons[-1], "prereleases")]
    newest = [Versions(python, "newest") for python in reversed(pythons)]
    return [Versions(pythons[0], "floors"), *newest]


def find_pythons() -> dict[tuple[int, int], Path]:
    """Return one interpreter for each of Python 3.10 to 3.13 that is on PATH or installed by pyenv."""
    found: dict[tuple[int, int], Path] = {}
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        name = f"python3.{minor}"
        places = [*_pyenv_folders(minor), *os.get_exec_path()]
        for place in places:
            path = Path(place, name)
            # pyenv's shims are there for versions that are not chosen, and fail then.
            if path.is_file() and "shims" not in path.parts:
                found[3, minor] = path
                break
    return found


def _pyenv_folders(minor: int) -> list[Path]:
    if shutil.which("pyenv") is None:
        return []
    root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout
    return sorted(Path(root.strip(), "versions").glob(f"3.{minor}.*/bin"), reverse=True)


def floors(wheel: Path) -> list[str]:
    """Return the oldest versions that the wheel's metadata allows, as constraints for pip."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    found = re.findall(r"^Requires-Dist: ([\w-]+)(?:\[\w+\])?>=([\w.]+)", metadata, re.MULTILINE)
    assert len(found) > 5, metadata
    return [f"{name}=={version}" for name, version in found]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into the folder."""
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT))
    (wheel,) = folder.glob("flask_sluice-*.whl")
    return wheel


def environment_variables() -> dict[str, str]:
    """Return the environment without anything that would lead to this checkout."""
    foreign = ("PYTHONPATH", "VIRTUAL_ENV", "FLASK_APP", "GUNICORN_CMD_ARGS")
    variables = clean_environment()
    return {
        name: value
        for name, value in variables.items()
        if name not in foreign and not name.lower().endswith("_proxy")
    }


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
