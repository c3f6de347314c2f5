"""What to change where a client cannot tell how a stream ended."""

from flask_sluice.doctor.remedies.headers import HTTP_1_0
from flask_sluice.doctor.remedies.remedy import Remedy

NO_TERMINAL_EVENT = (
    Remedy("any app, as its last event", 'yield "event: done\\ndata: {}\\n\\n"'),
    Remedy("JavaScript, in the page", 'source.addEventListener("done", () => source.close());'),
    Remedy("any app, to a reader that comes back with the last id", "HTTP/1.1 204 No Content"),
)
"""The stream just stops. EventSource reconnects and gets it all again."""

NO_LAST_EVENT_OF_THE_API = (
    Remedy("any app, of the OpenAI kind: after the last chunk", 'yield "data: [DONE]\\n\\n"'),
    Remedy(
        "any app, of the OpenAI kind, for responses",
        'yield f"event: response.completed\\ndata: {json.dumps(event)}\\n\\n"',
    ),
    Remedy(
        "any app, of the Anthropic kind",
        'yield "event: message_stop\\ndata: {\\"type\\":\\"message_stop\\"}\\n\\n"',
    ),
    Remedy(
        "any app, of the MCP kind",
        'yield f"data: {json.dumps(response)}\\n\\n"  # the JSON-RPC response to the call',
    ),
)
"""Clients of the API take a cut for the end, or report an error after an answer that is whole."""

END_NOT_MARKED = (
    *HTTP_1_0,
    Remedy(
        "Caddy, older than 2.8: it ends the chunks of an answer that was cut",
        "apt-get install caddy  # 2.8 or newer",
    ),
)
"""The body ends with the connection, so a cut is not to be seen."""

_TELL_OF_EXCEPTIONS = (
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

CUT_IN_MID_STREAM = (
    Remedy(
        "gunicorn, whose worker was killed in mid-stream; on the command line",
        "gunicorn --worker-class gthread --threads 100 --graceful-timeout 120 app:app",
    ),
    *_TELL_OF_EXCEPTIONS,
)
"""The connection was cut before the end of the body: a process was killed, or a proxy lost the app."""

HTTP_2_CONNECTION_ENDED = (
    Remedy(
        "nginx, in server: its defaults are 1h and 1000",
        "keepalive_time 24h;\nkeepalive_requests 10000;",
    ),
)
"""A proxy has ended the HTTP/2 connection, as it does after a number of requests or a time, or when it reloads."""

FOREIGN_BYTES = _TELL_OF_EXCEPTIONS
"""Something else than HTTP stands in the body, such as an error page that was written into it."""

ERROR_AS_200 = (
    Remedy(
        "any app: find the error before the first event, and answer with its status",
        "HTTP/1.1 429 Too Many Requests\nContent-Type: application/json",
    ),
    Remedy(
        "Flask, in the view: waits up to 10 seconds for the first event, and passes its exception on",
        "return sse_response(events(), hold_headers=10)",
    ),
)
"""A request that failed got status 200, so clients do not try again, and caches and monitoring take it for a success."""

BAD_REQUEST_NOT_REFUSED = (
    Remedy(
        "any app: check the body before the stream begins",
        "HTTP/1.1 400 Bad Request\nContent-Type: application/json",
    ),
    Remedy(
        "Flask, in the view, before the stream begins",
        'if request.get_json(silent=True) is None:\n    return {"error": {"message": "the body is not JSON"}}, 400',
    ),
)
"""A request that cannot be understood gets a stream, or a refusal without a message."""

ERROR_NOT_UNDERSTOOD = (
    Remedy(
        "any app, of the OpenAI kind: the shape that its clients know",
        'yield \'data: {"error":{"message":"…","type":"server_error","code":null}}\\n\\n\'',
    ),
    *_TELL_OF_EXCEPTIONS,
)
"""An error in mid-stream has a form that clients do not know."""

TERMINAL_EVENT_AFTER_ERROR = (
    Remedy(
        "any app: the error event is the last one, and no terminal event follows it",
        "yield error_event\nreturn",
    ),
)
"""Clients that look at the end alone take the answer for complete."""
