"""What to change where a server works on for a client that has left."""

from flask_sluice.doctor.remedies.remedy import Remedy

_PROXIES = (
    Remedy(
        "nginx, in the location of the stream: off is the default",
        "proxy_ignore_client_abort off;",
    ),
    Remedy(
        "nginx, in a location with uwsgi_pass: off is the default",
        "uwsgi_ignore_client_abort off;",
    ),
    Remedy(
        "HAProxy, in defaults (the default from 3.3 on): without it, it looks at the client only when it writes",
        "option abortonclose",
    ),
    Remedy(
        "Caddy, in reverse_proxy: with -1 it does not tell the app; streams need no such line",
        "flush_interval -1  # delete this line",
    ),
)
_APACHE = Remedy(
    "Apache, which looks at the client only when it writes: more comments, in the app",
    'yield ": keep-alive\\n"',
)
_SERVERS = (
    Remedy(
        "gunicorn, whose sync worker notices at the next write only; on the command line",
        "gunicorn -c python:flask_sluice.server.settings app:app",
    ),
    Remedy(
        "waitress, on the command line, together with a view that asks",
        "waitress-serve --threads=100 --channel-request-lookahead=1 app:app",
    ),
    Remedy(
        "waitress, in the generator, with --channel-request-lookahead=1",
        'if environ["waitress.client_disconnected"]():\n    return',
    ),
    Remedy("uWSGI, in its ini file", "gevent = 100\ngevent-early-monkey-patch = true"),
)
_APPS = (
    Remedy(
        "Flask, in the generator: close() raises GeneratorExit at the yield; end, do not catch it",
        "try:\n    for token in model.generate(prompt):\n        yield token\nfinally:\n    model.stop()",
    ),
    Remedy(
        "Flask, in a middleware that wraps the body: pass close() on",
        "return werkzeug.wsgi.ClosingIterator(wrapped, body.close)",
    ),
    Remedy(
        "Flask, in the view: ends the generator when the client leaves, also in silence",
        "from flask_sluice import sse_response\n\nreturn sse_response(events())",
    ),
    Remedy(
        "uvicorn, with Starlette or FastAPI, in the generator",
        "if await request.is_disconnected():\n    return",
    ),
    Remedy("Express, in the handler", "res.on('close', () => { clearInterval(timer) })"),
    Remedy("Go, in the handler", "case <-r.Context().Done():\n\treturn"),
)

NEVER_NOTICED = (*_PROXIES, *_SERVERS, *_APPS)
"""The server goes on to the end of the stream."""

NOTICED_LATE = (
    _APACHE,
    *_PROXIES,
    Remedy(
        "Flask, with sse_response: how often a silent stream writes", "SLUICE_KEEPALIVE_SECONDS=5"
    ),
    *_SERVERS,
    *_APPS,
)
"""The server notices at its next write, or the one after it."""
