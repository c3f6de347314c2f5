"""Servers whose reader leaves."""

from functools import partial

from flask_sluice.doctor import Depth
from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.raw_origin import GAUGE
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Front, Stack

METRICS = f"/metrics#{GAUGE}"
OPTIONS = {"depth": Depth.QUICK, "read_seconds": 5}
NEVER = {"leaving.mid-stream-fin": "fault"}
NO_PREFILL = {"leaving.prefill-fin": "skipped"}
IGNORING = partial(nginx, location=SOUND + "proxy_ignore_client_abort on;")
PACED = {"events": 60, "interval": 0.05}


def left(verdicts: dict[str, str] | None = None, *fronts: Front, **script: object) -> Stack:
    """A stream that is left in its middle: its first event comes too soon to be left before it."""
    return Stack(
        path(**{**PACED, **script}),
        "leaving",
        {**NO_PREFILL, **(verdicts or {})},
        fronts=fronts,
        metrics=METRICS,
        options=OPTIONS,
    )


def left_early(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    """A stream whose first event takes 2 s, as a model's may that reads a long prompt."""
    return left({"leaving.prefill-fin": "ok", **(verdicts or {})}, first=2, **script)


def left_in_all_ways(verdict: str, **script: object) -> Stack:
    """With FIN and RST, before the first event and in mid-stream."""
    names = ("mid-stream-fin", "mid-stream-rst", "prefill-fin", "prefill-rst")
    return Stack(
        path(**{**PACED, "first": 1, **script}),
        "leaving",
        {f"leaving.{name}": verdict for name in names},
        metrics=METRICS,
        options={"read_seconds": 5},
    )


STACKS = {
    "the server never notices that the reader has left": left(NEVER, leaving="never"),
    "the server goes on with the stream that the doctor has read first": Stack(
        path(**PACED, leaving="never"),
        "leaving",
        {"leaving.mid-stream-fin": "skipped", **NO_PREFILL},
        metrics=METRICS,
        options={"depth": Depth.QUICK, "read_seconds": 2},
    ),
    "the server never ends": left(NEVER, leaving="never", events=0),
    "the server notices at once": left(),
    "the server notices at its next write": left(leaving="at-write"),
    "the server would notice at its next write, and is silent": left(
        NEVER, leaving="at-write", events=4, silence=10
    ),
    "the server notices while it is silent": left(events=4, silence=10),
    "the server notices before the first event": left_early(),
    "the server does not notice before the first event": left_early(
        {"leaving.prefill-fin": "fault"}, leaving="at-write"
    ),
    "the server notices however the reader leaves": left_in_all_ways("ok"),
    "the server does not notice however the reader leaves": left_in_all_ways(
        "fault", leaving="never", events=0
    ),
    "nginx tells the server": left({}, partial(nginx, location=SOUND)),
    "nginx ignores that readers leave, but not that it cannot write": left({}, IGNORING),
    "nginx ignores that readers leave, and has nothing to write": left(
        NEVER, IGNORING, events=4, silence=10
    ),
    "the gateway notices": Stack(
        "/v1/chat/completions",
        "leaving",
        origin=served.gateway,
        metrics="/metrics",
        options={"model": "test", "depth": Depth.QUICK},
    ),
}
