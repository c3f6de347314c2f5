"""Ends that readers cannot tell from others, and errors that they cannot read."""

from functools import partial

from tests.doctor.zoo.origins import served
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.apache import apache
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.doctor.zoo.stack import Front, Stack

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


PACED = {"events": 6, "interval": 0.02}
CUT = {"end.body-end": "fault", "end.terminal-event": "skipped"}
INCOMPLETE = {"end.terminal-event": "fault"}
UNMARKED = {"end.truncation-visible": "skipped"}
REFUSED = {"end.error-before": "ok"}


def ended(
    verdicts: dict[str, str] | None = None,
    front: Front | None = None,
    route: str = CHAT,
    **script: object,
) -> Stack:
    """An answer of an API, which refuses what it does not understand."""
    return Stack(
        path(route, **{**PACED, **script}),
        "end",
        {**REFUSED, **(verdicts or {})},
        fronts=(front,) if front else (),
    )


STACKS = {
    "a completion is whole": ended(),
    "a message is whole": ended(route=MESSAGES),
    "the gateway is asked for a completion": Stack(
        CHAT, "end", REFUSED, origin=served.gateway, options={"model": "test"}
    ),
    # The body.
    "the last chunk is missing": ended({"end.body-end": "warning"}, end="fin"),
    "the connection is reset after [DONE]": ended({"end.body-end": "warning"}, end="rst"),
    "a chunk is half there": ended(CUT, end="half", end_after=4),
    "a completion stops in its middle, and the connection ends": ended(CUT, end_after=4, end="fin"),
    "a completion is reset in its middle": ended(CUT, end_after=4, end="rst"),
    "a completion is cut, and HTTP/1.0 does not show it": ended(
        {"end.body-end": "fault", **INCOMPLETE, **UNMARKED}, end_after=4, version="1.0"
    ),
    "a stream over HTTP/1.0 has not ended yet": Stack(
        path(events=0, interval=0.1, version="1.0"),
        "end",
        {
            "end.truncation-visible": "warning",
            "end.body-end": "skipped",
            "end.terminal-event": "skipped",
        },
        options={"read_seconds": 1},
    ),
    "nginx asks with HTTP/1.1, and passes the cut on": ended(
        CUT, partial(nginx, location=SOUND), end_after=4, end="fin"
    ),
    "nginx asks with HTTP/1.0, and makes a proper end of a cut one": ended(
        INCOMPLETE, partial(nginx, location="proxy_buffering off;"), end_after=4, end="fin"
    ),
    "Apache answers HTTP/1.0 with a whole completion": ended(
        {"end.body-end": "warning", **UNMARKED},
        partial(apache, directives="SetEnv downgrade-1.0 1\nSetEnv force-response-1.0 1"),
    ),
    "the connection stays open after [DONE]": Stack(
        path(CHAT, **PACED, end="stall"),
        "end",
        {**REFUSED, "end.body-end": "skipped"},
        options={"read_seconds": 1},
    ),
    # The terminal event.
    "a completion stops in its middle, and ends properly": ended(INCOMPLETE, end_after=4),
    "a completion never says [DONE]": ended(INCOMPLETE, done=0),
    "a message never stops, but ends": ended(INCOMPLETE, route=MESSAGES, done=0),
    "events end without a word": ended(
        {"end.terminal-event": "warning", "end.error-before": "skipped"}, route="/events"
    ),
    "events end with an event that says so": ended(
        {"end.error-before": "skipped"}, route="/events", terminal="over"
    ),
    # Errors.
    "a completion begins with an error": ended(
        {"end.error-status": "fault", "end.terminal-event": "skipped"}, error=0
    ),
    "a message begins with an error": ended(
        {"end.error-status": "fault", "end.terminal-event": "skipped"}, route=MESSAGES, error=0
    ),
    "a completion reports an error, and ends": ended(
        {"end.error-after": "warning", "end.terminal-event": "skipped"}, error=4
    ),
    "a message reports an error, and ends": ended(
        {"end.error-after": "warning", "end.terminal-event": "skipped"}, route=MESSAGES, error=4
    ),
    "a broken request is answered with 200": ended({"end.error-before": "fault"}, refusal="200"),
    "a broken request is answered with an event": ended(
        {"end.error-before": "fault"}, refusal="event"
    ),
    "a broken request is answered with a page": ended(
        {"end.error-before": "warning"}, refusal="html"
    ),
}
