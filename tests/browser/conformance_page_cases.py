"""Cases of the comparison of EventSource and FetchEventSource: calls by the page."""

import json

from tests.browser.conformance_cases import (
    EVENT,
    RETRY,
    Case,
    answers_with,
    case,
    opens,
)
from tests.server.raw_upstream import Handler, sends, streams

TWO_EVENTS = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n"
NEVER = sends()


def constructs(what: str, script: str, differs: str = "") -> Case:
    """Return a case that needs no response."""
    script = f"recorder => {{ const {{Client}} = recorder; {script}; recorder.end(); }}"
    return case(what, NEVER, script=script, differs=differs)


CONSTRUCTION = [
    constructs(
        "a URL that is not valid",
        """try { recorder.create("http://[/"); }
        catch (error) { recorder.note(`${error.constructor.name} ${error.name}`); }""",
    ),
    *(
        constructs(
            what,
            f"const source = recorder.create({url}); recorder.note(new URL(source.url).pathname)",
        )
        for what, url in (
            ("an empty URL is the document's", '""'),
            ("a relative URL", '"streams/../a b?c"'),
            ("an object becomes a string", '{toString: () => "a"}'),
            ("null becomes a string", "null"),
        )
    ),
    constructs(
        "states have their numbers",
        """const source = recorder.create();
        for (const owner of [Client, source]) {
            recorder.note([owner.CONNECTING, owner.OPEN, owner.CLOSED].join());
        }""",
    ),
    constructs(
        "states cannot be assigned to",
        """const source = recorder.create();
        for (const owner of [Client, source]) {
            try { owner.OPEN = 7; } catch { recorder.note("TypeError"); }
            recorder.note(String(owner.OPEN));
        }
        recorder.note(String(Object.keys(source)))""",
    ),
    constructs(
        "it is not a function",
        """try { Client(recorder.url); } catch (error) { recorder.note(error.name); }""",
    ),
    *(
        case(
            f"{url} fails for good",
            NEVER,
            script=f"""recorder => {{
                const source = recorder.create({url!r});
                recorder.note(recorder.stateOf(source));
                source.onerror = (event) => {{
                    recorder.note(`${{recorder.stateOf(source)}} ${{event instanceof MessageEvent}}`);
                    recorder.end();
                }};
            }}""",
        )
        for url in (
            "ftp://127.0.0.1/",
            "about:blank",
            "mailto:a@example.org",
            "javascript:void 0",
            "blob:none",
            "file:///none",
            "unknown:x",
        )
    ),
    case(
        "a data: URL",
        NEVER,
        script="""recorder => {
            recorder.create("data:text/event-stream,data:x%0A%0A").onmessage = ({data}) => {
                recorder.note(data);
                recorder.end();
            };
        }""",
    ),
    constructs(
        "it is an EventTarget, and its prototype can be extended",
        """Client.prototype.extension = () => "extended";
        const source = recorder.create();
        recorder.note(String(source instanceof EventTarget));
        recorder.note(source.extension())""",
    ),
    constructs(
        "properties before anything happens",
        """const source = recorder.create();
        const {readyState, withCredentials, onopen, onmessage, onerror} = source;
        recorder.note(JSON.stringify({readyState, withCredentials, onopen, onmessage, onerror}))""",
    ),
    constructs(
        "withCredentials",
        """const source = recorder.create(undefined, {withCredentials: true});
        recorder.note(String(source.withCredentials))""",
    ),
    constructs(
        "a handler that is not a function",
        """const source = recorder.create();
        source.onmessage = "alert()";
        recorder.note(String(source.onmessage))""",
    ),
    constructs(
        "url and readyState cannot be set",
        """
        const source = recorder.create();
        try { source.readyState = 1; } catch { recorder.note("TypeError"); }
        recorder.note(String(source.readyState))""",
    ),
]

EVENTS = [
    case(
        "an event's properties",
        opens(b"id: 1\ndata: x\n\n"),
        script="""recorder => {
            recorder.open({until: 3}).addEventListener("message", (event) => {
                const {bubbles, cancelable, origin, source, ports} = event;
                const isServers = origin === new URL(recorder.url).origin;
                recorder.note(JSON.stringify({bubbles, cancelable, isServers, source, ports}));
                recorder.end();
            });
        }""",
    ),
    case(
        "an event is trusted",
        opens(EVENT),
        script="""recorder => {
            recorder.open().onmessage = ({isTrusted}) => {
                recorder.note(`isTrusted ${isTrusted}`);
                recorder.end();
            };
        }""",
        differs="a script cannot create a trusted event",
    ),
    case(
        "an error has no data, does not bubble and cannot be cancelled",
        answers_with("404 Not Found"),
        script="""recorder => {
            recorder.create().onerror = (event) => {
                recorder.note(`${"data" in event} ${event.bubbles} ${event.cancelable}`);
                recorder.end();
            };
        }""",
    ),
    case("event named open", opens(b"event: open\ndata: x\n\n" + EVENT), until=3),
    case("event named error", opens(b"event: error\ndata: x\n\n" + EVENT), until=3),
    case(
        "handlers are called on the source, in their place",
        opens(EVENT),
        script="""recorder => {
            const source = recorder.create();
            source.onmessage = () => recorder.note("replaced");
            source.addEventListener("message", () => recorder.note("second"));
            source.onmessage = function () { recorder.note(`first ${this === source}`); };
            source.addEventListener("message", () => recorder.end());
        }""",
    ),
    case(
        "a handler that was removed",
        opens(TWO_EVENTS),
        script="""recorder => {
            const source = recorder.open();
            source.onmessage = () => { recorder.note("handler"); source.onmessage = null; };
            source.addEventListener("message", ({data}) => data === "b" && recorder.end());
        }""",
    ),
    case(
        "a listener that throws",
        opens(TWO_EVENTS),
        script="""recorder => {
            recorder.open({until: 3}).onmessage = () => { throw new Error("thrown by a listener"); };
        }""",
    ),
]


def closes(what: str, *answers: Handler, on: str) -> Case:
    """Return a case in which the page closes the source in a listener, and notes its state."""
    return case(
        what,
        *answers,
        script=f"""recorder => {{
            const source = recorder.open();
            source.addEventListener("{on}", () => {{
                source.close();
                recorder.note(recorder.stateOf(source));
                recorder.end();
            }});
        }}""",
        shows=("query",),
    )


STATES = [
    case(
        "states of a stream that is lost, and then refused",
        streams(RETRY + EVENT),
        answers_with("404 Not Found"),
        script="""recorder => {
            const source = recorder.create();
            recorder.note(recorder.stateOf(source));
            for (const type of ["open", "message", "error"]) {
                source.addEventListener(type, () => {
                    recorder.note(`${type}: ${recorder.stateOf(source)}`);
                    if (recorder.stateOf(source) === "CLOSED") recorder.end();
                });
            }
        }""",
    ),
    closes("close() in a message's listener stops the rest", opens(TWO_EVENTS), on="message"),
    closes("close() when open stops all that follows", opens(TWO_EVENTS), on="open"),
    closes("close() at an error stops reconnecting", streams(RETRY + EVENT), on="error"),
    case(
        "close() at once",
        opens(EVENT),
        script="""recorder => {
            const source = recorder.open();
            source.close();
            source.close();
            recorder.note(recorder.stateOf(source));
            recorder.end();
        }""",
    ),
    case(
        "close() at the terminal event: no error, no reconnection",
        streams(RETRY + EVENT + b"event: done\ndata\n\n"),
        until=3,
        names=("done",),
        shows=("query",),
    ),
]


def stops(what: str, *answers: Handler, at: str) -> Case:
    """Return a case in which the page calls ``window.stop()`` right after an event, or after the first request."""
    first = f'source.addEventListener("{at}", stop, {{once: true}})' if at else "stop()"
    script = f"""recorder => {{
        const source = recorder.open();
        const stop = () => setTimeout(() => {{
            window.stop();
            // A source that reconnects would have done so.
            setTimeout(() => {{ recorder.note(recorder.stateOf(source)); recorder.end(); }}, 300);
        }});
        {first};
    }}"""
    return case(
        what,
        *answers,
        script=f"recorder => recorder.runInFrame({json.dumps(script)})",
        # Without an event it depends on timing whether the request has left.
        shows=("query",) if at else (),
    )


STOPPING = [
    stops("before the response", NEVER, at=""),
    stops("when open", opens(RETRY), at="open"),
    stops("in the middle of the stream", opens(RETRY + EVENT), at="message"),
    stops("while it waits to reconnect", streams(RETRY + EVENT), opens(EVENT), at="error"),
]

PAGE_GROUPS = {
    "Construction": CONSTRUCTION,
    "Events and listeners": EVENTS,
    "States and close()": STATES,
    "window.stop()": STOPPING,
}
