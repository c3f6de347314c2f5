"""Servers with several readers at once."""

from functools import partial

from flask_sluice.doctor import Depth
from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.raw_origin import raw_origin
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Front, Origin, Stack

TOO_FEW = {"load.seven-connections": "fault"}
PACED = {"events": 40, "interval": 0.05}
FAST = {"events": 400, "interval": 0.005, "size": 16384}
"""So much that the system's buffers do not hide a reader that does not read."""


def six_connections(directives: str = "") -> Front:
    return partial(
        nginx,
        location=f"{SOUND} limit_conn zoo 6; {directives}",
        http="limit_conn_zone $binary_remote_addr zone=zoo:1m;",
    )


def loaded(
    verdicts: dict[str, str] | None = None,
    *fronts: Front,
    origin: Origin = raw_origin,
    route: str = "/events",
    depth: Depth = Depth.USUAL,
    **script: object,
) -> Stack:
    return Stack(
        path(route, **{**PACED, **script}),
        "load",
        verdicts or {},
        origin=origin,
        fronts=fronts,
        options={"depth": depth},
    )


STACKS = {
    "six streams run, and the seventh waits": loaded(TOO_FEW, limit=6),
    "one stream runs at a time": loaded(TOO_FEW, limit=1),
    "gunicorn's sync worker serves one reader at a time": loaded(
        TOO_FEW, origin=partial(served.gunicorn, "-k", "sync"), route="/careful"
    ),
    "nginx refuses an address its seventh connection": loaded(TOO_FEW, six_connections()),
    "nginx refuses an address its seventh connection, and says when to come back": loaded(
        {"load.seven-connections": "warning"},
        six_connections("add_header Retry-After 5 always;"),
    ),
    "seven streams run": loaded(limit=7),
    "gunicorn's threads are eight": loaded(
        origin=partial(served.gunicorn, "-k", "gthread", "--threads", "8"), route="/careful"
    ),
    "twenty streams run, and the twenty-first waits": loaded(
        {"load.fifty-at-once": "fault"}, limit=20, depth=Depth.THOROUGH
    ),
    "any number of streams runs": loaded({"load.fifty-at-once": "ok"}, depth=Depth.THOROUGH),
    "nginx passes them all on": loaded({}, partial(nginx, location=SOUND)),
    "Sluice serves them all": loaded(origin=served.sluice, route="/sluice"),
    "one reader that does not read stops the others": loaded(
        {"load.slow-reader": "fault"}, shared=1, **FAST
    ),
    "one reader that does not read stops itself alone": loaded({"load.slow-reader": "ok"}, **FAST),
}
