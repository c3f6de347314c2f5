"""Servers with several readers at once."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack


def loaded(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    return Stack(path(**{"events": 40, "interval": 0.05, **script}), "load", verdicts or {})


STACKS = {
    "six streams run, and the seventh waits": loaded(limit=6),
    "seven streams run, and the fiftieth waits": loaded(limit=20),
    "one stream runs at a time": loaded(limit=1),
    "any number of streams runs": loaded(),
    "one reader that does not read stops the others": loaded(
        shared=1, events=400, interval=0.005, size=16384
    ),
    "one reader that does not read stops itself alone": loaded(
        events=400, interval=0.005, size=16384
    ),
    "gunicorn's sync worker serves one reader at a time": Stack(
        path("/careful", events=40, interval=0.05),
        "load",
        origin=partial(served.gunicorn, "-k", "sync"),
    ),
    "gunicorn's threads are eight": Stack(
        path("/careful", events=40, interval=0.05),
        "load",
        origin=partial(served.gunicorn, "-k", "gthread", "--threads", "8"),
    ),
    "Sluice serves them all": Stack(
        path("/sluice", events=40, interval=0.05), "load", origin=served.sluice
    ),
    "nginx passes them all on": Stack(
        path(events=40, interval=0.05), "load", fronts=(partial(nginx, location=SOUND),)
    ),
    "nginx lets an address have six connections": Stack(
        path(events=40, interval=0.05),
        "load",
        fronts=(
            partial(
                nginx,
                location=SOUND + "limit_conn zoo 6;",
                http="limit_conn_zone $binary_remote_addr zone=zoo:1m;",
            ),
        ),
    ),
}
