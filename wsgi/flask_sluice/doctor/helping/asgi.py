"""Helps the doctor in an ASGI app: ``app.add_middleware(DoctorMiddleware)``, or ``DoctorMiddleware(app)``. It needs asyncio."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from flask_sluice.doctor.helping import ASK_HEADER, REPORT_HEADER
from flask_sluice.doctor.helping.reports import COMPLETE, FAILED, LEFT, Report, Reports
from flask_sluice.doctor.helping.script import HEADERS, Script, ScriptError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


class DoctorMiddleware:
    """Reports on the streams of an app whose requests have the header ``Sluice-Doctor``, and has a stream of its own.

    All others pass as they are. Anybody who reaches the server may use its routes, like the app's own: where that is not wanted,
    leave the middleware out, or guard ``path`` in the proxy.

    app: any ASGI app
    path: where its two routes are
    """

    def __init__(self, app: AsgiApp, path: str = "/doctor") -> None:
        self._app = app
        self._path = "/" + path.strip("/")
        self._reports = Reports()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        prefix = scope.get("root_path", "")
        # Since version 3 of its specification the path has the prefix; older servers leave it out.
        path: str = scope["path"].removeprefix(prefix)
        app = self._app
        if path.startswith(f"{self._path}/") and scope["method"] == "GET":
            rest = path.removeprefix(f"{self._path}/")
            if rest.startswith("streams/"):
                await self._answer_report(rest.removeprefix("streams/"), send)
                return
            if rest == "stream":
                app = _stream
        asked = _header(scope, ASK_HEADER)
        if not asked:
            await app(scope, receive, send)
            return
        report = self._reports.open(asked)
        url = f"{prefix}{self._path}/streams/{report.id}"
        await _ReportedCall(report, url, receive, send).run(app, scope)

    async def _answer_report(self, id_: str, send: Send) -> None:
        status, body = self._reports.answer(id_)
        await _send_whole(send, status, _JSON, body)


class _ReportedCall:
    """One call of an app, with a report of what it sends and of the reader's leaving."""

    def __init__(self, report: Report, url: str, receive: Receive, send: Send) -> None:
        self._report = report
        self._url = url
        self._receive_message = receive
        self._send_message = send

    async def run(self, app: AsgiApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        except (asyncio.CancelledError, OSError):
            # The server cancels the app, or refuses what it sends, when the reader has left.
            self._report.close(LEFT)
            raise
        except BaseException:
            self._report.close(FAILED)
            raise
        self._report.close(COMPLETE)

    async def _receive(self) -> Message:
        message = await self._receive_message()
        if message["type"] == "http.disconnect":
            self._report.close(LEFT)
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            header = (REPORT_HEADER.lower().encode(), self._url.encode("latin-1"))
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await self._send_message(message)
        if message["type"] == "http.response.body":
            if message.get("body"):
                self._report.add_item()
            if not message.get("more_body", False):
                self._report.close(COMPLETE)


def _header(scope: Scope, name: str) -> str:
    wanted = name.lower().encode()
    values: list[bytes] = [value for key, value in scope["headers"] if key.lower() == wanted]
    return values[0].decode("latin-1") if values else ""


async def _send_whole(
    send: Send, status: int, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    await send(_start(status, headers))
    await send({"type": "http.response.body", "body": body})


def _start(status: int, headers: tuple[tuple[str, str], ...]) -> Message:
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": encoded}


async def _stream(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI app of the middleware's own stream."""
    try:
        script = Script.of(dict(parse_qsl(scope["query_string"].decode("latin-1"))))
        seen = script.seen(_header(scope, "Last-Event-ID"))
    except ScriptError as error:
        plain = (("Content-Type", "text/plain; charset=utf-8"),)
        await _send_whole(send, 400, plain, str(error).encode())
        return
    if script.is_over(seen):
        await _send_whole(send, 204, (), b"")
        return
    events = asyncio.ensure_future(_send_events(script, seen, send))
    leaving = asyncio.ensure_future(_until_disconnect(receive))
    try:
        await asyncio.wait((events, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        # The one that is over takes no notice of it.
        events.cancel()
        leaving.cancel()
        results = await asyncio.gather(events, leaving, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_events(script: Script, seen: int, send: Send) -> None:
    await send(_start(200, HEADERS))
    clock = asyncio.get_running_loop().time
    due = clock()
    for step in script.steps(seen):
        if isinstance(step, bytes):
            await send({"type": "http.response.body", "body": step, "more_body": True})
        else:
            due += step
            await asyncio.sleep(max(0.0, due - clock()))
    await send({"type": "http.response.body", "body": b""})
