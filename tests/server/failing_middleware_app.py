"""Sluice behind WSGI middleware that fails at the place that the X-Fail header names, and does not close the body."""

from app import app

inner = app.wsgi_app


def failing(environ, start_response):
    body = inner(environ, start_response)
    where = environ.get("HTTP_X_FAIL")
    if where == "call":
        raise RuntimeError("the middleware failed")
    return failing_after_one(body) if where == "iteration" else body


def failing_after_one(body):
    yield next(iter(body))
    raise RuntimeError("the middleware failed")


app.wsgi_app = failing
