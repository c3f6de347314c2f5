"""Examines one stream."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flask_sluice.doctor.checks import (
    delivery,
    ending,
    framing,
    headers,
    leaving,
    load,
    resuming,
    silence,
)
from flask_sluice.doctor.costs import expected_cost
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.dialing import CannotConnectError
from flask_sluice.doctor.http.recording import Ending
from flask_sluice.doctor.observing.gauge import streams_before
from flask_sluice.doctor.options import Depth, Options
from flask_sluice.doctor.report import GROUPS, Check, CheckMaker, Report
from flask_sluice.doctor.suitable import why_not_a_stream

_CHECKS: Mapping[str, Callable[[Examination], Iterator[Check]]] = {
    "headers": headers.check,
    "delivery": delivery.check,
    "silence": silence.check,
    "framing": framing.check,
    "end": ending.check,
    "resuming": resuming.check,
    "leaving": leaving.check,
    "load": load.check,
}


def _ignore(_: object) -> None:
    pass


def examine(
    url: str,
    *,
    post: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    direct: str | None = None,
    preset: str = "auto",
    model: str | None = None,
    depth: Depth = Depth.USUAL,
    read_seconds: float | None = None,
    metrics: str | None = None,
    cacert: Path | None = None,
    http2: bool = False,
    origin: str | None = None,
    groups: tuple[str, ...] = GROUPS,
    on_check: Callable[[Check], None] = _ignore,
    on_step: Callable[[str], None] = _ignore,
    on_cost: Callable[[str], None] = _ignore,
) -> Report:
    """Examine the stream at the URL, and return what was found.

    url: the stream, or an OpenAI-compatible server
    post: the body of a POST request; None: GET, or what the preset sends
    headers: further headers of each request, such as Authorization
    direct: the URL of the same stream without the proxies, or with fewer of them, to compare with
    preset: "openai", "eventsource", "anthropic", "mcp", or "auto": by the URL and the server's answers
    model: the model's name for the presets openai and anthropic; None: the first that the server lists
    depth: how much is sent and waited for; THOROUGH waits through 125 s of silence
    read_seconds: how long a stream without an end is read; None: 5, 10 or 20 s by depth
    metrics: the URL of the server's metrics in Prometheus' text format; ``URL#name`` chooses one
    cacert: a file with certificate authorities to trust besides the system's
    http2: speak HTTP/2 over TLS, if the server does
    origin: examine CORS for pages of this origin, such as "https://app.example"
    groups: the groups of checks to make, of "headers", "delivery", "silence", "framing", "end", "resuming",
        "leaving", "load"
    on_check: is called with each check as soon as it is made
    on_step: is called with what the examination does next, in words
    on_cost: is called with a sentence about what may cost, before it is sent

    A server that cannot be reached, or that answers with something else than a stream, is a report with a ``problem``.
    Raises OptionError or UrlError (both ValueError) if an argument is wrong, CertificateFileError for ``cacert``.
    """
    options = Options(
        url=url,
        post=post,
        headers=headers or {},
        direct=direct,
        preset=preset,
        model=model,
        depth=depth,
        read_seconds=read_seconds,
        metrics=metrics,
        cacert=cacert,
        http2=http2,
        origin=origin,
        groups=groups,
    )
    return _Run(options, on_check, on_step, on_cost).report()


class _Run:
    """One run of the checks."""

    def __init__(
        self,
        options: Options,
        on_check: Callable[[Check], None],
        on_step: Callable[[str], None],
        on_cost: Callable[[str], None],
    ) -> None:
        self._options = options
        self._on_check = on_check
        self._on_step = on_step
        self._on_cost = on_cost
        self._checks: list[Check] = []
        self._started = time.monotonic()

    def report(self) -> Report:
        try:
            examination = Examination(self._options, self._on_step)
        except CannotConnectError as error:
            return self._report(None, str(error))
        if cost := expected_cost(examination):
            self._on_cost(cost)
        if "leaving" in self._options.groups:
            examination.streams_before = streams_before(examination)
        try:
            problem = why_not_a_stream(examination)
        except CannotConnectError as error:
            problem = str(error)
        if problem:
            return self._report(examination, problem)
        # Without a single byte there is only one thing to say.
        is_silent = examination.main.ending is Ending.SILENT
        for group in ("delivery",) if is_silent else self._options.groups:
            self._run_group(group, examination)
        return self._report(examination, "")

    def _run_group(self, group: str, examination: Examination) -> None:
        examination.tell(group)
        try:
            for check in _CHECKS[group](examination):
                self._add(check)
        except CannotConnectError as error:
            self._add(
                CheckMaker(group).fault(
                    "connection", f"The server took no further connection: {error}"
                )
            )

    def _add(self, check: Check) -> None:
        self._checks.append(check)
        self._on_check(check)

    def _report(self, examination: Examination | None, problem: str) -> Report:
        return Report(
            url=self._options.url,
            preset=examination.preset.name if examination else self._options.preset,
            checks=tuple(self._checks),
            problem=problem,
            request_count=examination.request_count if examination else 0,
            seconds=time.monotonic() - self._started,
            chart=() if problem or examination is None else _chart(examination),
        )


def _chart(examination: Examination) -> tuple[tuple[float, int, int], ...]:
    """The arrivals of the first stream: (seconds, bytes, events that were complete with them) each."""
    seconds = [event.seconds for event in examination.log.events]
    return tuple(
        (arrival.seconds, len(arrival.data), seconds.count(arrival.seconds))
        for arrival in examination.main.arrivals
    )
