"""The files of recordings: their names, and the folder that they are in."""

import os
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote

from flask_sluice.gateway.relay.recording.redaction import Redactor

SUFFIX = ".jsonl"
_MAX_NAME_CHARACTERS = 60


def why_not_writable(folder: str) -> str:
    """Make the folder if it is not there; return why no file can be made in it, "" if it can."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        probe = Path(folder, f".sluice-{os.urandom(4).hex()}")
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""


class FileNames:
    """Names the files of one worker: by time, method, route and model, and unlike those of every other worker."""

    def __init__(self) -> None:
        self._worker = os.urandom(3).hex()
        self._count = 0

    def next(self, at: float, method: str, target: str, model: object, redactor: Redactor) -> str:
        self._count += 1
        time = datetime.fromtimestamp(at, timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        path = unquote(redactor.target(target).partition("?")[0]).removeprefix("/v1")
        about = f"{method} {path} {redactor.text(model) if isinstance(model, str) else ''}"
        about = re.sub(r"[^A-Za-z0-9.]+", "-", about).strip("-.")[:_MAX_NAME_CHARACTERS]
        return f"{time}-{about}-{self._worker}{self._count:04d}{SUFFIX}"


class RecordingFile:
    """Appends to one file, which it does not hold open: there may be thousands of streams at once.

    is_broken: whether something could not be written; what there was is removed, and nothing more is written
    """

    def __init__(self, folder: str, name: str) -> None:
        self._path = os.path.join(folder, name)
        self._open: Callable[[str, int], int] = self._make
        self.is_broken = False

    def append(self, data: bytes) -> None:
        """Write; raises OSError at the first failure, and does nothing after one."""
        if self.is_broken:
            return
        try:
            with open(self._path, "ab", buffering=0, opener=self._open) as file:
                left = memoryview(data)
                while left:
                    left = left[file.write(left) or 0 :]
        except OSError:
            self.is_broken = True
            self._remove()
            raise
        self._open = os.open

    def _make(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_EXCL, 0o600)

    def _remove(self) -> None:
        if self._open is self._make and not os.path.exists(self._path):
            return
        try:
            os.unlink(self._path)
        except OSError:
            # What is left has no last line, which tells that it is not whole.
            return
