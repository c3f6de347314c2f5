"""Ends that readers cannot tell from others, and errors that they cannot read."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Stack

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


def ended(route: str = CHAT, verdicts: dict[str, str] | None = None, **script: object) -> Stack:
    return Stack(path(route, **{"events": 6, "interval": 0.02, **script}), "end", verdicts or {})


STACKS = {
    "the last chunk is missing": ended(end="fin"),
    "the connection is reset after [DONE]": ended(end="rst"),
    "a chunk is half there": ended(end="half", end_after=4),
    "a completion stops in its middle, and ends properly": ended(end_after=4),
    "a completion stops in its middle, and the connection ends": ended(end_after=4, end="fin"),
    "a completion is reset in its middle": ended(end_after=4, end="rst"),
    "a completion is cut, and HTTP/1.0 does not show it": ended(end_after=4, version="1.0"),
    "nginx asks with HTTP/1.0, and makes a proper end of a cut one": Stack(
        path(CHAT, events=6, interval=0.02, end_after=4, end="fin"),
        "end",
        fronts=(partial(nginx, location="proxy_buffering off;"),),
    ),
    "nginx asks with HTTP/1.1, and passes the cut on": Stack(
        path(CHAT, events=6, interval=0.02, end_after=4, end="fin"),
        "end",
        fronts=(partial(nginx, location=SOUND),),
    ),
    "Apache answers HTTP/1.0 with a whole completion": Stack(
        path(CHAT, events=6, interval=0.02),
        "end",
        fronts=(partial(apache, directives="SetEnv downgrade-1.0 1\nSetEnv force-response-1.0 1"),),
    ),
    "a completion never says [DONE]": ended(done=0),
    "a completion is whole": ended(),
    "a completion reports an error, and ends": ended(error=4),
    "a message is whole": ended(MESSAGES),
    "a message never stops, but ends": ended(MESSAGES, done=0),
    "a broken request is answered with 200": ended(refusal="200"),
    "a broken request is answered with an event": ended(refusal="event"),
    "a broken request is answered with a page": ended(refusal="html"),
    "events end without a word": ended("/events"),
    "events end with an event that says so": ended("/events", terminal="over"),
    "the connection stays open after [DONE]": Stack(
        path(CHAT, events=6, interval=0.02, end="stall"), "end", options={"read_seconds": 2}
    ),
    "the gateway is asked for a completion": Stack(
        CHAT, "end", origin=served.gateway, options={"model": "test"}
    ),
}
