"""The engine's environment and its process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from benchmarks.ports import free_port
from tests.support.server import START_TIMEOUT_SECONDS, clean_environment, wait_until
from tests.support.stream import Response

HERE = Path(__file__).parent
REQUIREMENTS = ("xllamacpp==2026.10.11549", "gguf==0.19.0")
"""llama.cpp's server in one wheel without dependencies (34 MB), and what writes its models."""
KEY = "the-key-of-the-engine"


class EngineFiles:
    """A virtual environment with the engine, and the model, both in one folder."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "venv/bin/python"
        self.model = folder / "tiny.gguf"

    def make(self) -> None:
        """Install and write everything, unless it is there."""
        if self.model.exists():
            return
        _run(sys.executable, "-m", "venv", str(self.python.parent.parent))
        options = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
        _run(str(self.python), "-m", "pip", "install", *options, *REQUIREMENTS)
        # The last step gives the file its name, so that a folder left half made is not taken for whole.
        unfinished = self.model.with_suffix(".part")
        _run(str(self.python), str(HERE / "tiny_model.py"), str(unfinished))
        unfinished.rename(self.model)


class Engine:
    """The engine, listening on a port of its own. ``start`` may be called again after ``kill``."""

    def __init__(self, files: EngineFiles) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._files = files
        self._log = os.memfd_create("engine-log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return os.pread(self._log, 1 << 24, 0).decode()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        program = str(HERE / "llama_server.py")
        process = subprocess.Popen(
            [str(self._files.python), program, str(self._files.model), str(self.port), KEY],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._process = process

        def answers() -> bool:
            assert process.poll() is None, f"the engine ended:\n{self.log}"
            try:
                return self.busy_slots() == 0
            except OSError:
                return False

        wait_until(answers, START_TIMEOUT_SECONDS, lambda: f"no answer:\n{self.log}")

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        os.close(self._log)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=START_TIMEOUT_SECONDS)

    def busy_slots(self) -> int:
        """Return how many of its two slots are generating, as the engine itself says. Raises OSError."""
        request = f"GET /slots HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        with self.connect() as sock:
            sock.sendall(request.encode())
            response = Response(sock)
            slots = json.loads(response.body())
        if response.status == 503:
            raise ConnectionRefusedError("the engine is still loading its model")
        assert response.status == 200, slots
        return sum(slot["is_processing"] for slot in slots)


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
