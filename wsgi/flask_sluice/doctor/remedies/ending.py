"""What to change where a client cannot tell how a stream ended."""

from flask_sluice.doctor.remedies.headers import HTTP_1_0
from flask_sluice.doctor.remedies.remedy import Remedy

DONE_MISSING = (Remedy("any app, of the OpenAI kind", 'yield "data: [DONE]\\n\\n"'),)
"""A completion does not say that it is whole."""

MESSAGE_STOP_MISSING = (
    Remedy(
        "any app, of the Anthropic kind",
        'yield "event: message_stop\\ndata: {\\"type\\":\\"message_stop\\"}\\n\\n"',
    ),
)
"""A message does not say that it is whole."""

RESPONSE_MISSING = (
    Remedy(
        "any app, of the kind of OpenAI's responses",
        'yield f"event: response.completed\\ndata: {json.dumps(completed)}\\n\\n"',
    ),
)
"""A response does not say that it is whole."""

RESULT_MISSING = (
    Remedy(
        "any app, of the MCP kind: the response to the call is the last message of its stream",
        "yield f\"data: {json.dumps({'jsonrpc': '2.0', 'id': call_id, 'result': result})}\\n\\n\"",
    ),
)
"""The stream of a call has no response to it."""

TERMINAL_EVENT_MISSING = (
    Remedy("any app: tell the end with an event", 'yield "event: done\\ndata: {}\\n\\n"'),
    Remedy(
        "JavaScript, in the page: without this EventSource asks again for ever",
        'source.addEventListener("done", () => source.close());',
    ),
)
"""The stream just stops. EventSource reconnects and gets it all again; others take a cut for the end."""

CUT_LOOKS_WHOLE = (
    *HTTP_1_0,
    Remedy(
        "Caddy, older than 2.8: it ends the chunks of an answer that was cut",
        "apt-get install caddy  # 2.8 or newer",
    ),
    *TERMINAL_EVENT_MISSING,
    *DONE_MISSING,
    *MESSAGE_STOP_MISSING,
)
"""The body ends with the connection, so a cut is not to be seen."""

BODY_NOT_ENDED = (
    Remedy(
        "gunicorn, whose worker was killed in mid-stream; on the command line",
        "gunicorn --worker-class gthread --threads 100 --graceful-timeout 120 app:app",
    ),
    Remedy(
        "Flask, in the generator: an exception cuts the body; catch it and tell the client",
        'try:\n    yield from answer()\nexcept Exception:\n    app.logger.exception("the stream failed")\n'
        '    yield \'event: error\\ndata: {"message": "the stream failed"}\\n\\n\'',
    ),
    Remedy(
        "Flask, in the view: tells the client of an exception by itself",
        "from flask_sluice import sse_response\n\nreturn sse_response(events())",
    ),
)
"""The connection was cut before the body's end (RFC 9112, section 8), though the last event had come or not."""

HTTP_2_CONNECTION_ENDED = (
    Remedy(
        "nginx, in server: its defaults are 1h and 1000",
        "keepalive_time 24h;\nkeepalive_requests 10000;",
    ),
)
"""A proxy has ended the HTTP/2 connection, as it does after a number of requests or a time, or when it reloads."""

OPEN_AFTER_THE_END = (
    Remedy(
        "any app: return after the terminal event",
        'yield "event: done\\ndata: {}\\n\\n"\nreturn',
    ),
)
"""The terminal event has come, but the body goes on or stays open, and holds a connection and a thread."""

ERROR_AS_200 = (
    Remedy(
        "any app: find the error before the first event, and answer with its status",
        "HTTP/1.1 404 Not Found\nContent-Type: application/json",
    ),
    Remedy(
        "Flask, in the view: waits up to 10 seconds for the first event, and passes its exception on",
        "return sse_response(events(), hold_headers=10)",
    ),
)
"""A refused request got status 200, so retries, caches and monitoring take it for a success."""

REFUSED_WRONGLY = (
    Remedy(
        "any app: read the body before the stream begins, and refuse one that is not JSON",
        'HTTP/1.1 400 Bad Request\nContent-Type: application/json\n\n{"error": {"message": "…"}}',
    ),
)
"""A request that has to be refused is answered with another status than 4xx, or without a message."""

END_AFTER_ERROR = (
    Remedy("any app: nothing after the event of the error", "yield error_event\nreturn"),
)
"""The terminal event follows an error."""

ERROR_NOT_TOLD = (
    Remedy(
        "any app, of the OpenAI kind: the shape that its clients know, then the end",
        'yield \'data: {"error":{"message":"…","type":"server_error","code":null}}\\n\\n\'\nreturn',
    ),
    *BODY_NOT_ENDED[1:],
)
"""An error in mid-stream has no event of its own, or none that clients know."""
