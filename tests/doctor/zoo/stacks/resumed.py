"""Streams that a reader comes back to."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import CACHE, HTTP_1_1, nginx
from tests.doctor.zoo.stack import Stack

IDS, EXACT, OVER = "resuming.ids", "resuming.last-event-id", "resuming.after-the-end"
FOR_EVER = {OVER: "fault"}
CACHING = partial(
    nginx, location=f"{HTTP_1_1} proxy_cache zoo; proxy_cache_valid 200 1m;", http=CACHE
)
PACED = {"events": 12, "interval": 0.02, "ids": "ascending", "retry": "1000"}


def resumed(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    return Stack(path(**{**PACED, **script}), "resuming", verdicts or {})


STACKS = {
    "events have no ids": resumed({IDS: "warning", EXACT: "skipped", OVER: "skipped"}, ids=""),
    "some events have no id": resumed({IDS: "warning", **FOR_EVER}, ids="gaps"),
    "an id is used for several events": resumed(
        {IDS: "fault", EXACT: "skipped", **FOR_EVER}, ids="duplicate"
    ),
    "ids descend, and the server knows them": resumed({IDS: "warning"}, ids="descending"),
    "ids are text": resumed(ids="text"),
    "Last-Event-ID is ignored": resumed({EXACT: "fault", **FOR_EVER}, resume="ignored"),
    "a reader that comes back gets one event again": resumed({EXACT: "fault"}, resume="repeat"),
    "a reader that comes back misses one event": resumed({EXACT: "fault"}, resume="skip"),
    "a reader that comes back goes on exactly": resumed(),
    "a reader that has seen the end gets an empty stream, for ever": resumed(
        FOR_EVER, after_end="empty"
    ),
    "a reader that has seen the end gets all again": resumed(FOR_EVER, after_end="again"),
    "a reader that has seen the end was told so, and gets all again": resumed(
        {OVER: "warning"}, after_end="again", terminal="over"
    ),
    "nginx answers from its cache, whatever was had": Stack(
        path(**PACED, cache=""), "resuming", {EXACT: "fault", **FOR_EVER}, fronts=(CACHING,)
    ),
    "there is no retry": resumed(retry=""),
    "retry is so short that readers overrun the server": resumed(
        {"resuming.retry": "warning"}, retry="1"
    ),
    "retry is a day": resumed({"resuming.retry": "warning"}, retry="86400000"),
    "a stream that goes on is resumed exactly": Stack(
        path(**{**PACED, "events": 0, "interval": 0.05}),
        "resuming",
        {OVER: "skipped"},
        options={"read_seconds": 1},
    ),
    "a Flask generator resumes exactly, and never says that it is over": Stack(
        path("/careful", **PACED), "resuming", FOR_EVER, origin=served.waitress
    ),
}
