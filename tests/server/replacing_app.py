"""A Flask app whose hooks and middleware do with a stream's response what they like; ``?how=`` names it."""

import time
from collections.abc import Iterator

from flask import Flask, Response, make_response, request

from flask_sluice import sse_response
from flask_sluice.sse import Event

app = Flask(__name__)
ended_at: dict[str, float] = {}


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/ended/<key>")
def ended(key: str):
    return {"at": ended_at.get(key)}


@app.get("/stream/<key>")
def stream(key: str):
    response = sse_response(produces(key))
    # As the gateway's routes do; otherwise the generator would not begin before the body is read.
    response.response.wait_for_first_event(None)
    return response


def produces(key: str) -> Iterator[Event]:
    try:
        while True:
            yield Event(data="token")
            time.sleep(0.01)
    finally:
        ended_at[key] = time.monotonic()


def set_data(response: Response) -> Response:
    response.data = b"other"
    return response


def set_body(response: Response) -> Response:
    response.response = [b"other"]
    return response


def answer_otherwise(_: Response) -> Response:
    return Response("other")


def make_another(_: Response) -> Response:
    return make_response({"other": True}, 500)


def fail(_: Response) -> Response:
    raise RuntimeError("the hook failed")


def read_data(response: Response) -> Response:
    response.get_data()
    return response


def have_no_content(response: Response) -> Response:
    response.status_code = 204
    return response


def be_unchanged(response: Response) -> Response:
    response.headers["ETag"] = '"same"'
    return response.make_conditional(request)


def wrap(response: Response) -> Response:
    response.response = (piece for piece in response.response)
    return response


HOOKS = {
    hook.__name__: hook
    for hook in (
        *(set_data, set_body, answer_otherwise, make_another, fail, read_data),
        *(have_no_content, be_unchanged, wrap),
    )
}


@app.after_request
def replace(response: Response) -> Response:
    hook = HOOKS.get(request.args.get("how", ""))
    return response if hook is None else hook(response)


@app.teardown_request
def fail_late(_: object) -> None:
    if request.args.get("how") == "fail_late":
        raise RuntimeError("the teardown failed")


def answer_by_middleware(_body):
    return [b"other"]


def answer_with_the_first_piece(body):
    return [next(iter(body))]


def wrap_by_middleware(body):
    yield from body


def fail_by_middleware(_body):
    raise RuntimeError("the middleware failed")


MIDDLEWARE = {
    change.__name__: change
    for change in (
        *(answer_by_middleware, answer_with_the_first_piece),
        *(wrap_by_middleware, fail_by_middleware),
    )
}


def changing(application):
    def call(environ, start_response):
        body = application(environ, start_response)
        change = MIDDLEWARE.get(environ["QUERY_STRING"].removeprefix("how="))
        return body if change is None else change(body)

    return call


app.wsgi_app = changing(app.wsgi_app)
