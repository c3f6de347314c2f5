"""The versions of htmx that examples/htmx works with, from npm, as its README installs them."""

import re
from pathlib import Path

from tests.examples.installed import node_folder_with
from tests.examples.pages import copy_example
from tests.support.server import ROOT

README = (ROOT / "examples/htmx/README.md").read_text()
COMMAND = re.compile(r"^npm install --prefix static (.*@(\d))$", re.MULTILINE)
PACKAGES = {version: packages.split() for packages, version in COMMAND.findall(README)}
VERSIONS = ("2", "4")
# Of the browser, of htmx 2 and of htmx 4, when a connection breaks or is refused; htmx 2 writes error events to the console, too.
COMPLAINTS = (
    *("Failed to load resource: ", "[object Event]", "[object MessageEvent]"),
    "htmx: htmx:sse:error",
)


def install_htmx(version: str, folder: Path) -> Path:
    """Copy the example, and put a version of htmx where its README's command does."""
    copy = copy_example("htmx", folder)
    static = copy / "static"
    static.mkdir()
    installed = node_folder_with(*PACKAGES[version])
    (static / "node_modules").symlink_to(installed / "node_modules")
    return copy
