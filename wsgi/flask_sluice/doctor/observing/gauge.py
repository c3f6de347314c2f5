"""A number of the server's that counts the streams that it runs."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.dialing import CannotConnectError
from flask_sluice.doctor.http.request import HttpRequest, checked_url
from flask_sluice.doctor.observing.witness import CannotTellError, Seen

_SAMPLE = re.compile(
    r"^(?P<name>[A-Za-z_:][\w:]*)(?:\{.*\})?[ \t]+(?P<value>[-+.\w]+)(?:[ \t]+-?\d+)?[ \t]*$",
    re.MULTILINE,
)
"""Prometheus' text format: a name, labels, the value and perhaps a time."""
_QUIET_SAMPLES = 4
_SAMPLE_PAUSE_SECONDS = 0.1
_SETTLING_SECONDS = 3.0


@dataclass(frozen=True)
class KnownGauge:
    """A gauge of a known server. The fields are those of ``Witness``."""

    name: str
    slack_seconds: float = 0.0
    may_stick: bool = False


KNOWN_GAUGES = (
    KnownGauge("sluice_worker_streams", slack_seconds=0.2),
    KnownGauge("sluice_open_streams", slack_seconds=1.2),
    # It is set by the engine's steps. When all requests are aborted there is none, and the last value stays.
    KnownGauge("vllm:num_requests_running", slack_seconds=0.5, may_stick=True),
    KnownGauge("sglang:num_running_reqs", slack_seconds=5.0, may_stick=True),
    KnownGauge("llamacpp:requests_processing", slack_seconds=0.2),
)


class GaugeWitness:
    """Reads a number that rises by one with our stream.

    sample: reads it; raises CannotTellError
    at_first: what it was before the doctor's first stream; None: unknown
    """

    def __init__(
        self,
        name: str,
        known: KnownGauge,
        sample: Callable[[], float],
        at_first: float | None = None,
    ) -> None:
        self.name = name
        self._at_first = at_first
        self.slack_seconds = known.slack_seconds
        self.may_stick = known.may_stick
        self._sample = sample

    def watch(self) -> "GaugeWatch":
        """Wait until the number stays the same: a server may be late to notice the doctor's own leaving before."""
        samples = [self._sample()]
        until = time.monotonic() + _SETTLING_SECONDS
        while len(samples) < _QUIET_SAMPLES or len(set(samples[-_QUIET_SAMPLES:])) > 1:
            if time.monotonic() > until:
                raise CannotTellError(
                    f"{self.name} goes up and down ({min(samples):g} to {max(samples):g}) with the streams of others, so it "
                    "cannot show this one; examine a server without other readers"
                )
            time.sleep(_SAMPLE_PAUSE_SECONDS)
            samples.append(self._sample())
        return GaugeWatch(self._sample, samples[-1], self._at_first)

    def value(self) -> float:
        """The number as it is now. Raises CannotTellError."""
        return self._sample()


class GaugeWatch:
    """Watches one stream by the number that was there before it.

    before: the number of other streams
    at_first: the same before the doctor's first stream; None: unknown
    """

    def __init__(
        self, sample: Callable[[], float], before: float, at_first: float | None = None
    ) -> None:
        self._sample = sample
        self._before = before
        self._has_leftover = at_first is not None and before > at_first

    def asking(self, request: HttpRequest) -> HttpRequest:
        return request

    def is_running(self) -> bool:
        return self._sample() == self._before + 1

    def closed(self, left_at: float) -> Seen | None:
        value = self._sample()
        if value > self._before + 1:
            raise CannotTellError(
                "another reader's stream began meanwhile; examine a server without other readers"
            )
        if value <= self._before and self._has_leftover:
            raise CannotTellError(
                "a stream ended, which may be this one or one that the doctor had left before and the server still counted; "
                "read to the stream's end with --for"
            )
        return Seen(time.time() - left_at, None) if value <= self._before else None


def metrics_witness(examination: Examination, metrics: str) -> GaugeWitness:
    """Return the witness of ``--metrics``. Raises CannotTellError.

    metrics: a URL; behind a # the name of a gauge, if it is not one of KNOWN_GAUGES
    """
    url, _, wanted = metrics.partition("#")
    request = _beside(examination, checked_url(url))

    def values() -> dict[str, float]:
        try:
            answer = examination.ask(request)
        except CannotConnectError as error:
            raise CannotTellError(f"--metrics: {error}") from None
        if answer.status != 200:
            raise CannotTellError(f"--metrics: {request.url} answered {answer.status}")
        return gauge_values(answer.body.decode("utf-8", "replace"))

    names = values()
    known = next((gauge for gauge in KNOWN_GAUGES if gauge.name in names), None)
    if wanted:
        known = next((gauge for gauge in KNOWN_GAUGES if gauge.name == wanted), KnownGauge(wanted))
    if known is None or (wanted and wanted not in names):
        raise CannotTellError(
            f"the metrics at {request.url} have none {f'called {wanted}' if wanted else 'that is known to count running streams'}; name one with "
            f"--metrics URL#NAME ({_some(names)})"
        )
    name = known.name

    def sample() -> float:
        # A gauge with labels has no series before its first stream.
        return values().get(name, 0.0)

    return GaugeWitness(f"the gauge {name}", known, sample, examination.streams_before)


def streams_before(examination: Examination) -> float | None:
    """Return how many streams the server runs, for ``Examination.streams_before``; None if it does not say."""
    if examination.options.metrics is None:
        return None
    try:
        return metrics_witness(examination, examination.options.metrics).value()
    except CannotTellError:
        return None


def slots_witness(examination: Examination) -> GaugeWitness | None:
    """Return the witness of llama.cpp's ``/slots``, which another connection can ask for; None where it is not there."""
    parts = examination.main.request.parts
    request = _beside(examination, parts._replace(path="/slots", query="").geturl())

    def busy() -> float | None:
        try:
            slots = json.loads(examination.ask(request).body)
            return float(sum(bool(slot["is_processing"]) for slot in slots))
        except (ValueError, TypeError, KeyError):
            return None

    def sample() -> float:
        count = busy()
        if count is None:
            raise CannotTellError("/slots has stopped to list the slots")
        return count

    return None if busy() is None else GaugeWitness("/slots", KnownGauge("/slots"), sample)


def _beside(examination: Examination, url: str) -> HttpRequest:
    """A GET at the URL, with the user's headers if it is the examined server's: keys go to no other."""
    target = examination.preset.target
    request = HttpRequest(url)
    is_same = (request.authority, request.is_secure) == (target.authority, target.is_secure)
    return replace(request, headers=target.headers) if is_same else request


def gauge_values(text: str) -> dict[str, float]:
    """Return the sums of all series by the metric's name, of Prometheus' text format."""
    values: dict[str, float] = {}
    for match in _SAMPLE.finditer(text):
        try:
            value = float(match["value"])
        except ValueError:
            continue
        values[match["name"]] = values.get(match["name"], 0.0) + value
    return values


def _some(names: dict[str, float]) -> str:
    likely = [name for name in names if re.search(r"running|open|active|processing|streams", name)]
    return "such as " + ", ".join(likely[:5]) if likely else f"it has {len(names)} others"
