"""The AI SDK from npm, and pages that use it: its chat in a process of node, without React's rendering."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT

EXAMPLE = ROOT / "examples/vercel-ai"
NEWEST = "7"
"""The one that the example has."""
OLDER_VERSIONS = {
    "5": {"ai": "5.0.277", "@ai-sdk/react": "2.0.280"},
    "6": {"ai": "6.0.325", "@ai-sdk/react": "3.0.328"},
}


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up(f"{name} is not installed; tests/install-system-packages installs it")
    return path


def installed(cache: pytest.Cache, major: str) -> Path:
    """Return a folder with the packages of the example, the AI SDK of this major version; kept for later runs."""
    package = json.loads((EXAMPLE / "package.json").read_text())
    package["dependencies"] |= OLDER_VERSIONS.get(major, {})
    text = json.dumps(package)
    folder = Path(cache.mkdir("ai-sdk")) / hashlib.sha256(text.encode()).hexdigest()[:12]
    # Other processes of this run want it too.
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "package.json").write_text(text)
            # The newest major version names a newer node, and works with this one.
            command = [program("npm"), "install", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=folder, check=True)
            (folder / "installed").touch()
        # A module finds its packages from where it is. Another process may be starting the one that is there.
        module = shutil.copy(Path(__file__).with_name("page.mjs"), folder / "new")
        Path(module).replace(folder / "page.mjs")
    return folder


def built(packages: Path, folder: Path) -> Path:
    """Copy the example to the folder, and build its page with these packages."""
    example = Path(shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules")))
    (example / "node_modules").symlink_to(packages / "node_modules")
    subprocess.run([program("npm"), "run", "--silent", "build"], cwd=example, check=True)
    return example


class Page:
    """A page that has a chat open. It ends with the block, as a closed tab does.

    folder: has the packages; url: the app's; chat: its id; cookie: the user's
    """

    def __init__(self, folder: Path, url: str, chat: str, cookie: str) -> None:
        self._process = subprocess.Popen(
            [program("node"), folder / "page.mjs", f"{url}/api/chat", chat, cookie],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._commands = 0
        self.shown: dict[str, Any] = {}

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the process: its sockets are closed by the kernel."""
        self._process.kill()
        self._process.communicate()

    def begin(self, command: str, argument: str | None = None) -> None:
        assert self._process.stdin is not None
        self._commands += 1
        self._process.stdin.write(json.dumps([command, argument]) + "\n")
        self._process.stdin.flush()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Read what the page shows until that fulfils the condition."""
        assert self._process.stdout is not None
        while not (self.shown and condition()):
            line = self._process.stdout.readline()
            assert line, f"the page ended; it showed {self.shown}"
            self.shown = json.loads(line)

    def wait_until_done(self) -> None:
        """Wait for the end of all that the page has begun."""
        self.wait_until(lambda: self.shown["done"] == self._commands)

    def wait_for(self, answer: str) -> None:
        """Wait until the page shows this answer."""
        self.wait_until(lambda: self.answer == answer)

    @property
    def answer(self) -> str:
        """The text of the last message, if that is an answer."""
        last = self.shown["messages"][-1] if self.shown["messages"] else {"role": "none"}
        if last["role"] != "assistant":
            return ""
        return "".join(part["text"] for part in last["parts"] if part["type"] == "text")
