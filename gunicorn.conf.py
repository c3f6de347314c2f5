"""gunicorn's settings, each with its reason. Sluice's own come from the environment (wsgi/flask_sluice/gateway/settings.py)."""

# Before anything imports ssl, socket or threading: what is imported unpatched blocks the whole worker.
import gevent
from gevent import monkey

monkey.patch_all()

import copy
import errno
import gc
import logging
import math
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Literal

# On a reload (HUP) the master reads this file again, and the new workers have of it what it has imported: without
# this, parts of the old code beside the new.
for _name in [name for name in sys.modules if name.partition(".")[0] == "flask_sluice"]:
    del sys.modules[_name]

from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

from flask_sluice.gateway.relay.address import proxy_for
from flask_sluice.gateway.settings import SettingsError, read_settings
from flask_sluice.observe import metrics_folder
from flask_sluice.observe.json_log import LogFormatter
from flask_sluice.server.master import Master
from flask_sluice.server.worker import Worker
from flask_sluice.stream.gevent_check import GEVENT_NEEDED
from flask_sluice.stream.transport.middleware import with_direct_writes

_MOVE_METRICS_SECONDS = 1.0

try:
    _settings = read_settings(os.environ)
    for upstream in _settings.upstream:
        proxy_for(upstream)
except SettingsError as error:
    sys.exit(f"sluice: {error}")

# Here and not in a hook, since with --preload the app is imported before the first hook runs.
metrics_folder.make()

bind = _settings.bind
workers = _settings.workers

# A stream waits most of its life; on gevent that costs a greenlet, not a thread or a process. Ours is gunicorn's
# with an end in good order.
worker_class = "flask_sluice.server.worker.Worker"
Worker.drain_seconds = _settings.drain_seconds
Worker.body_timeout_seconds = _settings.body_timeout_seconds
Worker.write_timeout_seconds = _settings.write_timeout_seconds

# Then the workers are killed: later than the streams have been told to end, and have ended.
graceful_timeout = math.ceil(_settings.drain_seconds) + 10

# gunicorn leaves connections over this number waiting without an answer, health checks too. Sluice's
# own limit, which answers 503, is 90 % of it, or lower by the connections that idle clients may hold.
worker_connections = max(_settings.max_streams * 10 // 9, _settings.max_streams + 100)

# Half of what is above the streams stays free for requests: new connections end idle ones before that is used.
Worker.room_at = (worker_connections + _settings.max_streams) // 2

# gunicorn would believe whoever connects from this host, or over a unix socket, about the scheme, and about SCRIPT_NAME
# and PATH_INFO, which change the path that keys are asked for. Which proxies are believed, and what, is said in one
# place: SLUICE_TRUSTED_PROXIES. Where there is a prefix, the environment's SCRIPT_NAME says so.
secure_scheme_headers = {}
forwarder_headers = ""
# As these two are empty it does not matter who connects. Any other value has each request's address parsed: 15 us.
forwarded_allow_ips = "*"

# The most that gunicorn offers, and what nginx passes on (its default is half of it): a question to /stream_chat is in it.
limit_request_line = 8190

# Seconds without a sign of life from a worker's loop, not of a stream: streams may last for hours.
timeout = 30

# Where each greenlet was spawned, for gevent's lists of them: 0.8 KiB of a silent stream, which nobody reads.
gevent.config.track_greenlet_tree = False

# Longer than the 60 s for which nginx keeps idle connections to its upstream, so that it is never gunicorn
# that closes one just as nginx takes it.
keepalive = 75

# The control socket is a thread with an asyncio loop in the master, which gevent has patched; signals do all
# that is needed.
control_socket_disable = True


def on_starting(server: Arbiter) -> None:
    """In the master, before it listens: what would fail later, or in many lines, fails here in one."""
    if not issubclass(server.cfg.worker_class, GeventWorker):
        sys.exit(f"sluice: {GEVENT_NEEDED}")
    if issubclass(server.cfg.worker_class, Worker):
        # gunicorn has no setting for it.
        server.__class__ = Master
    metrics_folder.claim()
    _raise_file_limit()
    # A listener may be inherited: from systemd, or from the master that this one replaces (USR2).
    if not os.environ.keys() & {"LISTEN_FDS", "GUNICORN_FD"}:
        for address in server.cfg.address:
            _check_is_free(address)


def post_worker_init(worker: Worker) -> None:
    # Sluice's lines go where gunicorn's go, as JSON. By logconfig_dict gunicorn would do the same, but then it also
    # makes an access log line for every request, which nobody reads: 5 % of a short answer's cost.
    sluice_log = logging.getLogger("sluice")
    sluice_log.setLevel(logging.INFO)
    sluice_log.handlers = [copy.copy(handler) for handler in worker.log.error_log.handlers]
    for handler in sluice_log.handlers:
        handler.setFormatter(LogFormatter())
        # gevent's is Python, 1.4 us each time. Greenlets need none: none switches while it writes a line.
        handler.lock = monkey.get_original("_thread", "RLock")()
    sluice_log.propagate = False
    # Nobody prints it, and gevent makes an object for each greenlet that logs: a fifth of a line's cost.
    logging.logThreads = False
    # Ctrl-C goes to the whole process group, and the master passes it on as SIGQUIT: a gevent worker that
    # got both would end with the traceback of the second.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What the start has made is there to stay: without it, and at the usual 700 new objects, collecting is 5 % of
    # a short answer, and with ten thousand streams open a full collection would hold them all up.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    worker.wsgi = with_direct_writes(worker.wsgi)
    gevent.spawn(_move_metrics, worker)


def worker_exit(_server: Arbiter, worker: Worker) -> None:
    """In the worker, at its end."""
    if (journal := _extension(worker, "sluice_journal")) is not None:
        # A stream has just come to its end, perhaps, and Redis does not have that yet.
        journal.close()
    if (metrics := _extension(worker, "sluice_metrics")) is not None:
        metrics.move()


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """In the master, however the worker has ended."""
    metrics_folder.forget_worker(worker.pid)


def when_ready(server: Arbiter) -> None:
    if _settings.workers > 1 and _settings.rate_limit and not _settings.redis_url:
        server.log.warning(
            "each of the %d workers counts for itself: SLUICE_RATE_LIMIT is for all only with SLUICE_REDIS_URL",
            _settings.workers,
        )
    address = server.cfg.address[0]
    if isinstance(address, str):
        print(f"Sluice is at unix:{address}", flush=True)
        return
    host, port = address[:2]
    if not _settings.api_keys and host not in ("127.0.0.1", "::1", "localhost"):
        server.log.warning(
            "anybody who reaches %s:%s may ask: SLUICE_API_KEYS is not set", host, port
        )
    if _settings.workers > 1 and not _settings.redis_url:
        server.log.warning(
            "/v1/streams answers 503: with %d workers it needs SLUICE_REDIS_URL", _settings.workers
        )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(
        f"Sluice is at {url}   Try:\n"
        f"curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' "
        """-d '{"model": "any", "stream": true, "messages": [{"role": "user", "content": "Why stream?"}]}'""",
        flush=True,
    )


def _extension(worker: Worker, name: Literal["sluice_journal", "sluice_metrics"]) -> Any:
    """What the app has of its own for the worker. Another than Sluice's has none, one that failed to load neither."""
    return getattr(worker.app.callable, "extensions", {}).get(name)


def _move_metrics(worker: Worker) -> None:
    while (metrics := _extension(worker, "sluice_metrics")) is not None:
        metrics.move()
        gevent.sleep(_MOVE_METRICS_SECONDS)


def _raise_file_limit() -> None:
    # Each stream is a file, a relayed one two; the usual soft limit of 1024 is there for programs that use select().
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections * (2 if _settings.upstream else 1) + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _check_is_free(address: str | tuple[str, int]) -> None:
    """Exits with one line if another program has the address; gunicorn would try for five seconds."""
    if isinstance(address, str):
        path = Path(address)
        if not path.parent.is_dir():
            sys.exit(f"sluice: there is no folder {path.parent} for unix:{address}")
        if path.exists() and not path.is_socket():
            sys.exit(f"sluice: {address} is there and is not a socket; SLUICE_BIND sets another")
        # gunicorn takes the place of an old socket file, also of one that is in use.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(address) == 0:
                sys.exit(f"sluice: another server listens at unix:{address}")
        return
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address[:2])
        except OSError as error:
            host, port = address[:2]
            why = (
                "is taken"
                if error.errno == errno.EADDRINUSE
                else f"cannot be had ({error.strerror})"
            )
            sys.exit(f"sluice: {host}:{port} {why}; SLUICE_BIND=127.0.0.1:8081 sets another")
