"""What the zoo's proxies have in common: each stands on a port of its own, in a folder of its own, before one origin."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ports import free_port
from tests.support.program import program_path, running_program


@dataclass(frozen=True)
class Place:
    """Where a proxy is started.

    port: where it listens, on 127.0.0.1
    folder: for its files
    upstream: the origin's address, such as http://127.0.0.1:20001
    certificate: a file with a key and its certificate, if it is to speak TLS
    """

    port: int
    folder: Path
    upstream: str
    certificate: Path | None = None

    @property
    def listen(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.listen}"

    @property
    def upstream_host(self) -> str:
        """Without its scheme."""
        return self.upstream.partition("://")[2]

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


Arguments = Callable[[Place], Sequence[str | Path]]
"""Writes the proxy's files, and returns the arguments of the program."""


@contextlib.contextmanager
def front(
    program: str,
    arguments: Arguments,
    upstream: str,
    certificate: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run the program in front of the upstream. Gives its address.

    program: the name of a program of the system's, or a path
    """
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        place = Place(free_port(), Path(folder), upstream, certificate)
        command = [program_path(program), *arguments(place)]
        variables = {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder, **(environment or {})}
        with running_program(
            command, port=place.port, output=place.folder / "output", environment=variables
        ):
            yield place.url
