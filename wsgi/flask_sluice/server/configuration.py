"""gunicorn's settings that streams need, for the gunicorn file of any app."""

import math
import resource
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

from flask_sluice.server.drain_time import END_SECONDS, seconds_from_environment

WORKER_CLASS = "flask_sluice.server.Worker"

_DRAIN_SECONDS = 120.0
_OTHER_FILES = 1024
"""Besides the connections: those of the interpreter, of logs, and of what an app has open."""


def configure(
    namespace: MutableMapping[str, Any],
    *,
    drain_seconds: float | None = None,
    files_of_connection: int = 1,
) -> None:
    """Set in a gunicorn file what streams need, and leave what the file sets.

    Call it on the first lines of the file, since gevent has to patch the process before other modules are imported.
    Settings and hooks that the file defines further down replace those that are set here, as they should; only a hook
    ``nworkers_changed`` has to be defined before the call, which then calls both.

    namespace: the ``globals()`` of the gunicorn file
    drain_seconds: how long streams may go on after the server was told to end or to reload. ``SLUICE_DRAIN_SECONDS`` in
        the environment wins; the default is 120
    files_of_connection: how many files are open for each connection of a client, another server's connection for example

    Exits with one line if ``SLUICE_DRAIN_SECONDS`` is not a number of seconds.
    """
    patch_process()
    default = _DRAIN_SECONDS if drain_seconds is None else drain_seconds
    drain_seconds = seconds_from_environment("SLUICE_DRAIN_SECONDS", default)
    settings: dict[str, Any] = {
        # A stream waits for most of its life. On gevent that costs a greenlet, not a thread or a process.
        "worker_class": WORKER_CLASS,
        # gunicorn kills its workers at this time. By then they have told the streams to end, and the streams have ended.
        # The worker derives its drain from this value, so that it can also be set by --graceful-timeout.
        "graceful_timeout": math.ceil(drain_seconds + END_SECONDS),
        # Seconds without a sign of life from a worker's event loop. A stream may last for hours.
        "timeout": 30,
        # Longer than the 60 s for which nginx keeps idle connections to its upstream. Otherwise gunicorn could close a
        # connection at the moment when nginx sends a request on it.
        "keepalive": 75,
        # The control socket is a thread with an asyncio loop in the master, which gevent has patched. Signals do the same.
        "control_socket_disable": True,
    }
    for name, value in settings.items():
        namespace.setdefault(name, value)
    hook = namespace.get("nworkers_changed")
    namespace["nworkers_changed"] = _install_master_after(hook, files_of_connection)


def patch_process() -> None:
    """Patch the process for gevent. What is imported before, and waits, would block the whole worker."""
    import gevent  # noqa: PLC0415
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    # gevent would note for each greenlet where it was spawned, for its debugging lists: 0.8 KiB of a silent stream.
    gevent.config.track_greenlet_tree = False


def fit_connections(server: Any, files_of_connection: int) -> None:
    """Let this process, and those that it forks, have a file for each connection, or have them take fewer connections.

    A worker without files left can accept no connection, not even a health check's, and refuses nobody.
    """
    connections = server.cfg.worker_connections
    limit = raise_file_limit(connections * files_of_connection)
    others = min(_OTHER_FILES, limit // 4)
    fitting = max(1, (limit - others) // files_of_connection)
    if fitting < connections:
        server.log.warning(
            "%d connections for each worker, not %d: the hard limit of open files is %d",
            fitting,
            connections,
            limit,
        )
        server.cfg.set("worker_connections", fitting)


def raise_file_limit(files: int) -> int:
    """Let this process have so many files and a thousand besides, as far as the hard limit goes; return how many it may have.

    The usual soft limit of 1024 is for programs that use select(). Each connection of a client is a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


Hook = Callable[[Any, int, int | None], object]


def _install_master_after(hook: Hook | None, files_of_connection: int) -> Hook:
    """Return a hook ``nworkers_changed`` that calls the file's own, then installs our master.

    This hook is the first that gets the server, before ``preload_app`` loads the app and again at each reload, and gunicorn
    files hardly ever define it, so that ``configure`` works on whatever line of the file it is called.
    """

    def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
        _check_worker_class(server, is_start=old_value is None)
        if hook is not None:
            hook(server, new_value, old_value)
        _install_master(server, files_of_connection)

    return nworkers_changed


def _check_worker_class(server: Any, *, is_start: bool) -> None:
    # Not above: it imports gunicorn.
    from flask_sluice.server.gunicorn_adapter import why_no_streams  # noqa: PLC0415

    why = why_no_streams(server.worker_class)
    if why and is_start:
        sys.exit(f"sluice: {why}")
    if why:
        # A reload: the master's end would cut the streams of the workers that are there.
        server.log.error("%s", why)


def _install_master(server: Any, files_of_connection: int) -> None:
    # Not above: these import gevent and gunicorn.
    from flask_sluice.server.master import Master  # noqa: PLC0415
    from flask_sluice.server.worker import Worker  # noqa: PLC0415

    if issubclass(server.worker_class, Worker):
        fit_connections(server, files_of_connection)
        Master.take_over(server)
    else:
        server.log.warning("worker_class is not %s: a worker's end cuts its streams", WORKER_CLASS)
