"""What a run has found: blocks of text, tables and charts, as Markdown."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from benchmarks.processes import CORES

_LIBRARIES = (
    "gunicorn",
    "gevent",
    "Flask",
    "urllib3",
    "starlette",
    "sse-starlette",
    "uvicorn",
    "httpx",
)


@dataclass(frozen=True)
class Table:
    """columns: the first names the rows"""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_markdown(self) -> str:
        lines = [self.columns, ["---", *["--:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Lines:
    """A chart of one line for each server. series: values at each of ``x``"""

    name: str
    title: str
    x_label: str
    y_label: str
    x: Sequence[float]
    series: dict[str, Sequence[float]]


@dataclass(frozen=True)
class Bars:
    """A chart of one bar for each server."""

    name: str
    title: str
    y_label: str
    values: dict[str, float]


@dataclass
class Section:
    """What one case has found. text: how it was measured; notes: what is to be known of the figures"""

    title: str
    text: str
    blocks: Sequence[str | Table | Lines | Bars] = ()
    notes: list[str] = field(default_factory=list)

    def as_markdown(self) -> str:
        parts = [f"## {self.title}", self.text]
        for block in self.blocks:
            match block:
                case str():
                    parts.append(block)
                case Table():
                    parts.append(block.as_markdown())
                case _:
                    parts.append(f"![{block.title}](plots/{block.name}.png)")
        return "\n\n".join([*parts, *self.notes])


def machine() -> str:
    """What it ran on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES if _is_installed(name)]
    programs = [
        _version(["nginx", "-v"], r"nginx/([0-9.]+)", "nginx"),
        _version(["go", "version"], r"go([0-9.]+)", "Go"),
        _version(["redis-server", "--version"], r"v=([0-9.]+)", "Redis"),
    ]
    return (
        f"{model[1] if model else platform.machine()}, {CORES} cores, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        + ", ".join([*versions, *filter(None, programs)])
    )


def _is_installed(library: str) -> bool:
    try:
        metadata.version(library)
    except metadata.PackageNotFoundError:
        return False
    return True


def _version(command: list[str], pattern: str, name: str) -> str | None:
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        return None
    done = subprocess.run([program, *command[1:]], check=True, capture_output=True, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return f"{name} {found[1]}" if found else None
