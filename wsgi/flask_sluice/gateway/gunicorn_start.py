"""The gateway's start under gunicorn: whether its address is free, and what it says when it serves."""

import errno
import socket
from pathlib import Path

from flask_sluice.gateway.relay.recording.files import why_not_writable
from flask_sluice.gateway.setting_files import SettingsError
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.replay.library import Library
from flask_sluice.gateway.simulator.replay.recording import InvalidRecordingError
from flask_sluice.server.worker import Worker


def check_is_free(address: str | tuple[str, int]) -> str:
    """Return one line that says why the server cannot listen there, "" if it can. gunicorn would try for five seconds."""
    if isinstance(address, str):
        return _check_unix_socket(address)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address[:2])
        except OSError as error:
            host, port = address[:2]
            is_taken = error.errno == errno.EADDRINUSE
            why = "is taken" if is_taken else f"cannot be had ({error.strerror})"
            return f"{host}:{port} {why}; SLUICE_BIND=127.0.0.1:8081 sets another"
    return ""


def _check_unix_socket(address: str) -> str:
    path = Path(address)
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} for unix:{address}"
    if path.exists() and not path.is_socket():
        return f"{address} is there and is not a socket; SLUICE_BIND sets another"
    # gunicorn takes the place of an old socket file, also of one that is in use.
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(address) == 0:
            return f"another server listens at unix:{address}"
    return ""


def check_recordings(settings: Settings) -> None:
    """Raise SettingsError where exchanges cannot be recorded, or recordings cannot be read."""
    if settings.record and (why := why_not_writable(settings.record)):
        raise SettingsError(f"SLUICE_RECORD: nothing can be written to {settings.record}: {why}")
    if settings.replay:
        try:
            Library(settings.replay).read_all()
        except InvalidRecordingError as error:
            raise SettingsError(f"SLUICE_REPLAY: {error}") from None


def say_where_it_is(worker: Worker, settings: Settings) -> None:
    """Print the gateway's address with a command to try, and warn of settings that do not fit together.

    In the first worker, which knows that its app is the gateway. The number of workers is gunicorn's, which the command line
    may have set.
    """
    count = worker.cfg.workers
    if count > 1 and settings.rate_limit and not settings.redis_url:
        worker.log.warning(
            "each of the %d workers counts for itself: SLUICE_RATE_LIMIT is for all only with SLUICE_REDIS_URL",
            count,
        )
    if count > 1 and not settings.redis_url:
        worker.log.warning(
            "/v1/streams answers 503: with %d workers it needs SLUICE_REDIS_URL", count
        )
    address = worker.cfg.address[0]
    if isinstance(address, str):
        if not (settings.api_keys or settings.allowed_hosts):
            worker.log.warning(
                "only requests for localhost are answered: SLUICE_ALLOWED_HOSTS has no name of the proxy's site"
            )
        print(f"Sluice is at unix:{address}", flush=True)
        return
    host, port = address[:2]
    if not settings.api_keys and host not in ("127.0.0.1", "::1", "localhost"):
        worker.log.warning(
            "anybody who reaches %s:%s may ask: SLUICE_API_KEYS is not set", host, port
        )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(
        f"Sluice is at {url}   Try:\n"
        f"curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' "
        """-d '{"model": "any", "stream": true, "messages": [{"role": "user", "content": "Why stream?"}]}'""",
        flush=True,
    )
