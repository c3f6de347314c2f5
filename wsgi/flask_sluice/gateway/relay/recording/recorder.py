"""Writes exchanges to files from a thread of its own, so that no stream waits for the disk."""

import json
import logging
import time
from collections.abc import Iterable
from typing import Any

from gevent import get_hub, monkey

from flask_sluice.gateway.relay.recording.files import FileNames, RecordingFile
from flask_sluice.gateway.relay.recording.lines import (
    MAX_BODY_BYTES,
    VERSION,
    RecordedRequest,
    body_fields,
    event_fields,
    line,
    piece_fields,
)
from flask_sluice.gateway.relay.recording.redaction import Redactor, secrets_of

logger = logging.getLogger("sluice.recording")

_MAX_WAITING_BYTES = 64 * 1024 * 1024
_COST_OF_ITEM_BYTES = 200
_MAX_BATCH = 1000
_MAX_WHOLE_BYTES = 16 * 1024 * 1024
_CLOSE_SECONDS = 10.0


class Recorder:
    """Records the exchanges of one worker.

    folder: is there, and can be written to
    secrets: those that this server knows
    """

    def __init__(self, folder: str, secrets: Iterable[str]) -> None:
        self.secrets = tuple(secrets)
        self._folder = folder
        self._names = FileNames()
        # A greenlet would wait for the disk on the event loop, so these are of the operating system's threads.
        self._queue: Any = monkey.get_original("queue", "SimpleQueue")()
        self._is_done = monkey.get_original("_thread", "allocate_lock")()
        self._put_bytes = 0
        self._written_bytes = 0
        """Counted by the thread alone, as ``_put_bytes`` is by the loop alone."""
        self._wake_loop: Any = None
        self._problem = ""
        self._told_problem = ""

    def begin(self, request: RecordedRequest) -> "Recording":
        """Return a recording of this request, which is written soon."""
        if self._wake_loop is None:
            self._start()
        recording = Recording(self, request)
        recording.put("request", 0.0, request, len(request.body))
        return recording

    def close(self) -> None:
        """Write what waits, and end; called at the end of the process."""
        if self._wake_loop is not None:
            self._queue.put(None)
            self._is_done.acquire(True, _CLOSE_SECONDS)

    def put(self, recording: "Recording", item: tuple[str, float, Any], byte_count: int) -> bool:
        """Have the item written; return whether there was room for it."""
        byte_count += _COST_OF_ITEM_BYTES
        has_room = self._put_bytes - self._written_bytes + byte_count <= _MAX_WAITING_BYTES
        if has_room:
            self._put_bytes += byte_count
            self._queue.put((recording, item, byte_count))
        return has_room

    def put_end(self, recording: "Recording", item: tuple[str, float, Any]) -> None:
        """Have the end written, for which there is always room."""
        self._put_bytes += _COST_OF_ITEM_BYTES
        self._queue.put((recording, item, _COST_OF_ITEM_BYTES))

    def _start(self) -> None:
        # Not before the first request: a thread does not survive the fork of a worker.
        self._wake_loop = get_hub().loop.async_(ref=False)
        self._wake_loop.start(self._tell_problem)
        self._is_done.acquire()
        monkey.get_original("_thread", "start_new_thread")(self._write_all, ())

    def _tell_problem(self) -> None:
        """Log the beginning of an outage, and its end: one line each."""
        problem = self._problem
        if problem and not self._told_problem:
            logger.error("exchanges are not recorded in %s: %s", self._folder, problem)
        elif self._told_problem and not problem:
            logger.warning("exchanges are recorded in %s again", self._folder)
        self._told_problem = problem

    # The thread, which must neither log nor call what gevent has patched.

    def _write_all(self) -> None:
        try:
            is_open = True
            while is_open:
                is_open = self._write_batch()
        finally:
            self._is_done.release()

    def _write_batch(self) -> bool:
        """Write what has come, at once where it is of one recording. Returns whether more may come."""
        lines: dict[Recording, list[bytes]] = {}
        entry = self._queue.get()
        for _ in range(_MAX_BATCH):
            if entry is None:
                break
            recording, item, byte_count = entry
            try:
                lines.setdefault(recording, []).extend(recording.writer.lines(*item))
            except Exception as error:  # noqa: BLE001 - the others go on; the log tells it
                recording.writer.file_or_make(self._folder, self._names).is_broken = True
                self._set_problem(f"{type(error).__name__}: {error}")
            self._written_bytes += byte_count
            if self._queue.empty():
                break
            entry = self._queue.get()
        else:
            self._queue.put(entry)
        for recording, written in lines.items():
            self._append(recording, b"".join(written))
        return entry is not None

    def _append(self, recording: "Recording", data: bytes) -> None:
        file = recording.writer.file_or_make(self._folder, self._names)
        if file.is_broken or not data:
            return
        try:
            file.append(data)
        except OSError as error:
            self._set_problem(error.strerror or str(error))
        else:
            self._set_problem("")

    def _set_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._wake_loop.send()


class Recording:
    """One exchange that is being recorded; used by the event loop.

    has_ended: whether ``end`` was called
    """

    __slots__ = ("_began_at", "_is_incomplete", "_recorder", "has_ended", "writer")

    def __init__(self, recorder: Recorder, request: RecordedRequest) -> None:
        self._recorder = recorder
        self._began_at = time.monotonic()
        self._is_incomplete = False
        self.has_ended = False
        secrets = [*recorder.secrets, *secrets_of(request.headers, request.target)]
        self.writer = _Writer(secrets)

    def put(self, kind: str, at_seconds: float, what: Any, byte_count: int) -> None:
        # With a hole in it a recording would not be what was; so nothing follows what found no room.
        if not self._is_incomplete:
            self._is_incomplete = not self._recorder.put(self, (kind, at_seconds, what), byte_count)

    def head(self, status: int, headers: dict[str, str], upstream: str) -> None:
        self.put("head", self._seconds(), (status, headers, upstream), 1000)

    def piece(self, data: bytes) -> None:
        self.put("piece", self._seconds(), data, len(data))

    def end(self, how: str, **more: Any) -> None:
        """End the recording; only the first call counts."""
        if self.has_ended:
            return
        self.has_ended = True
        if self._is_incomplete:
            how, more = "not_recorded", {"why": "more came than the disk took"}
        self._recorder.put_end(self, ("end", self._seconds(), {"end": how, **more}))

    def _seconds(self) -> float:
        return time.monotonic() - self._began_at


class _Writer:
    """Makes the lines of one recording; used by the thread."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = secrets
        self._redactor = Redactor()
        self._file: RecordingFile | None = None
        self._request: tuple[float, str, str] = (0.0, "", "")
        self._model: object = None
        self._content_type = ""
        self._whole = b""
        """What has come of a body that is written as one line."""
        self._whole_at = 0.0
        self._is_whole = False
        self._is_lines = False
        self._is_left_out = False

    def file_or_make(self, folder: str, names: FileNames) -> RecordingFile:
        if self._file is None:
            name = names.next(*self._request, self._model, self._redactor)
            self._file = RecordingFile(folder, name)
        return self._file

    def lines(self, kind: str, at_seconds: float, what: Any) -> list[bytes]:
        at = {"at_seconds": round(at_seconds, 6)}
        if kind == "request":
            return [line(self._describe(what))]
        if kind == "head":
            status, headers, upstream = what
            self._content_type = headers.get("content-type", "").lower()
            is_coded = headers.get("content-encoding", "identity").lower() != "identity"
            self._is_whole = not is_coded and _is_document(self._content_type)
            self._is_lines = not is_coded and _has_lines(self._content_type)
            kept = self._redactor.headers(headers)
            return [line({**at, "status": status, "headers": kept, "upstream": upstream})]
        if kind == "piece":
            return self._pieces(at, what)
        return [*self._rest(), line({**at, **self._hide(what)})]

    def _describe(self, request: RecordedRequest) -> dict[str, Any]:
        self._redactor = Redactor(self._secrets)
        self._request = (request.at, request.method, request.target)
        content_type = {name.lower(): value for name, value in request.headers.items()}.get(
            "content-type", ""
        )
        body = body_fields(request.body, content_type.lower(), self._redactor)
        if isinstance(body.get("json"), dict):
            self._model = body["json"].get("model")
        milliseconds = f"{request.at % 1:.3f}"[1:] if request.at % 1 < 0.9995 else ".999"
        return {
            "sluice_recording": VERSION,
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(request.at)) + milliseconds + "Z",
            "method": request.method,
            "path": self._redactor.target(request.target),
            "headers": self._redactor.headers(request.headers),
            **body,
        }

    def _pieces(self, at: dict[str, Any], data: bytes) -> list[bytes]:
        if self._content_type.startswith("text/event-stream"):
            return [line({**at, **fields}) for fields in event_fields(data, self._redactor)]
        if self._is_left_out:
            return []
        if self._is_lines and len(self._whole) + len(data) <= MAX_BODY_BYTES:
            # A line that has come in part may end in the middle of a secret, or of a character.
            data, mark, self._whole = (self._whole + data).rpartition(b"\n")
            data += mark
            self._whole_at = at["at_seconds"]
            return [line({**at, **piece_fields(data, self._redactor)})] if data else []
        if not self._is_whole:
            data, self._whole = self._whole + data, b""
            return [line({**at, **piece_fields(data, self._redactor)})]
        self._whole += data
        self._whole_at = at["at_seconds"]
        # A part of a document may end in the middle of a secret.
        return self._left_out() if len(self._whole) > _MAX_WHOLE_BYTES else []

    def _rest(self) -> list[bytes]:
        """Return the line of a body that has been kept for it."""
        whole, self._whole = self._whole, b""
        fields = body_fields(whole, self._content_type, self._redactor)
        return [line({"at_seconds": self._whole_at, **fields})] if fields else []

    def _left_out(self) -> list[bytes]:
        self._is_left_out = True
        return self._rest()

    def _hide(self, what: dict[str, Any]) -> dict[str, Any]:
        hidden: dict[str, Any] = json.loads(self._redactor.events(json.dumps(what)))
        return hidden


def _has_lines(content_type: str) -> bool:
    return "ndjson" in content_type or "jsonl" in content_type


def _is_document(content_type: str) -> bool:
    if content_type.startswith("text/event-stream") or _has_lines(content_type):
        return False
    return "json" in content_type or content_type.startswith("text/")
