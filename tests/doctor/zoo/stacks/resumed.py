"""Streams that a reader comes back to."""

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.stack import Stack


def resumed(verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    options = {"events": 12, "interval": 0.02, "ids": "ascending", "retry": "1000", **script}
    return Stack(path(**options), "resuming", verdicts or {})


STACKS = {
    "events have no ids": resumed(ids=""),
    "some events have no id": resumed(ids="gaps"),
    "an id is used for several events": resumed(ids="duplicate"),
    "ids descend": resumed(ids="descending", resume="ignored"),
    "Last-Event-ID is ignored": resumed(resume="ignored"),
    "a reader that comes back gets one event again": resumed(resume="repeat"),
    "a reader that comes back misses one event": resumed(resume="skip"),
    "a reader that comes back goes on exactly": resumed(),
    "a reader that has seen the end gets an empty stream, for ever": resumed(after_end="empty"),
    "a reader that has seen the end gets all again": resumed(after_end="again"),
    "there is no retry": resumed(retry=""),
    "retry is so short that readers overrun the server": resumed(retry="1"),
    "retry is a day": resumed(retry="86400000"),
    "a stream that goes on is resumed exactly": resumed(events=0, interval=0.05),
    "a bare Flask generator resumes by itself": Stack(
        path("/careful", events=12, interval=0.02, ids="ascending", retry="1000"),
        "resuming",
        origin=served.waitress,
    ),
}
