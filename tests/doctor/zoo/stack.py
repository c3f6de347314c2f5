"""One of the zoo's stacks: an origin, the proxies in front of it, and what the doctor has to say of them."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doctor.zoo.origins.raw_origin import raw_origin, secure_raw_origin
from tests.support.certificate import make_certificates

Origin = Callable[[], contextlib.AbstractContextManager[str]]
"""Starts a server, and gives its address."""
Front = Callable[..., contextlib.AbstractContextManager[str]]
"""Starts a proxy in front of an address, with ``certificate=`` one that speaks TLS and HTTP/2, and gives its own."""


USUAL = {
    "headers": {"headers.cors": "skipped"},
    "silence": {"silence.keep-alive": "skipped"},
    "framing": {"framing.ids": "skipped", "framing.retry": "skipped"},
    "end": {"end.error-after": "skipped", "end.error-before": "skipped"},
    "load": {"load.slow-reader": "skipped", "load.fifty-at-once": "skipped"},
}
"""The verdicts of stacks that say nothing else, by group: the doctor was not asked, or has nothing to look at."""


@dataclass(frozen=True)
class Stack:
    """path: of the URL, with its query
    groups: of checks that are made, with commas between
    verdicts: by the full name of the check; those that are left out are ok, but for USUAL
    problem: a part of what the report says where there is no stream to examine
    origin, fronts: what is started, from the inside out
    tls: the outermost speaks TLS; the doctor trusts its certificate
    direct: the doctor compares with the origin
    metrics: a path of the origin
    options: further arguments of ``examine``
    """

    path: str
    groups: str
    verdicts: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    origin: Origin = raw_origin
    fronts: tuple[Front, ...] = ()
    tls: bool = False
    direct: bool = False
    metrics: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def expected(self) -> dict[str, str]:
        """All verdicts of the stack that are not ok."""
        if self.problem:
            return {}
        usual = {
            name: verdict
            for group in self.groups.split(",")
            for name, verdict in USUAL.get(group, {}).items()
        }
        found = {**usual, **self.verdicts}
        return {name: verdict for name, verdict in found.items() if verdict != "ok"}

    @contextlib.contextmanager
    def start(self) -> Iterator[dict[str, Any]]:
        """Start all of it. Gives the arguments of ``examine``."""
        with contextlib.ExitStack() as running:
            arguments: dict[str, Any] = {"groups": tuple(self.groups.split(",")), **self.options}
            last: dict[str, Path] = {}
            if self.tls:
                folder = running.enter_context(tempfile.TemporaryDirectory(prefix="zoo-"))
                last["certificate"] = make_certificates(Path(folder))["good"]
                arguments.setdefault("cacert", last["certificate"])
            url = origin = running.enter_context(self._origin(last))
            for number, front in enumerate(self.fronts, start=1):
                url = running.enter_context(
                    front(url, **last if number == len(self.fronts) else {})
                )
            if self.direct:
                arguments["direct"] = origin + self.path
            if self.metrics:
                arguments["metrics"] = origin + self.metrics
            yield {"url": url + self.path, **arguments}

    def _origin(self, last: dict[str, Path]) -> contextlib.AbstractContextManager[str]:
        if last and not self.fronts:
            return secure_raw_origin(last["certificate"])
        return self.origin()
