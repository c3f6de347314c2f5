"""Helps the doctor in a WSGI app: ``app.wsgi_app = DoctorMiddleware(app.wsgi_app)``."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from flask_sluice.doctor.helping import REPORT_HEADER
from flask_sluice.doctor.helping.reports import COMPLETE, FAILED, LEFT, Report, Reports
from flask_sluice.doctor.helping.script import HEADERS, Script, ScriptError

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_JSON = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]


class DoctorMiddleware:
    """Reports on the streams of an app whose requests have the header ``Sluice-Doctor``, and has a stream of its own.

    All others pass as they are. Anybody who reaches the server may use its routes, like the app's own: where that is not wanted,
    leave the middleware out, or guard ``path`` in the proxy.

    app: any WSGI app
    path: where its two routes are
    """

    def __init__(self, app: WsgiApp, path: str = "/doctor") -> None:
        self._app = app
        self._path = "/" + path.strip("/")
        # Here, before the server forks: with gunicorn's preload_app all workers share them.
        self._reports = Reports()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        app = self._app
        if path.startswith(f"{self._path}/") and environ.get("REQUEST_METHOD") == "GET":
            rest = path.removeprefix(f"{self._path}/")
            if rest.startswith("streams/"):
                return self._answer_report(rest.removeprefix("streams/"), start_response)
            if rest == "stream":
                app = _stream
        asked = environ.get("HTTP_SLUICE_DOCTOR")
        return (
            app(environ, start_response)
            if not asked
            else self._report(app, asked, environ, start_response)
        )

    def _report(
        self, app: WsgiApp, asked: str, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        report = self._reports.open(asked)
        url = f"{environ.get('SCRIPT_NAME', '')}{self._path}/streams/{report.id}"

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, (REPORT_HEADER, url)], *rest)

        try:
            body = app(environ, start)
        except BaseException:
            report.close(FAILED)
            raise
        return _ReportedBody(body, report)

    def _answer_report(self, id_: str, start_response: StartResponse) -> Iterable[bytes]:
        status, body = self._reports.answer(id_)
        start_response("200 OK" if status == 200 else "404 Not Found", _JSON)
        return [body]


class _ReportedBody:
    """The body of a response, with a report of its items and its end."""

    def __init__(self, body: Iterable[bytes], report: Report) -> None:
        self._body = body
        self._items = iter(body)
        self._report = report

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            item = next(self._items)
        except StopIteration:
            self._report.close(COMPLETE)
            raise
        except BaseException:
            self._report.close(FAILED)
            raise
        self._report.add_item()
        return item

    def close(self) -> None:
        # PEP 3333: the server closes a body also when the reader has left before its end.
        self._report.close(LEFT)
        if hasattr(self._body, "close"):
            self._body.close()


def _stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI app of the middleware's own stream."""
    try:
        script = Script.of(dict(parse_qsl(environ.get("QUERY_STRING", ""))))
        seen = script.seen(environ.get("HTTP_LAST_EVENT_ID", ""))
    except ScriptError as error:
        start_response("400 Bad Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [str(error).encode()]
    if script.is_over(seen):
        start_response("204 No Content", [])
        return []
    start_response("200 OK", list(HEADERS))
    return _events(script, seen)


def _events(script: Script, seen: int) -> Iterator[bytes]:
    due = time.monotonic()
    for step in script.steps(seen):
        if isinstance(step, bytes):
            yield step
            continue
        due += step
        time.sleep(max(0.0, due - time.monotonic()))
