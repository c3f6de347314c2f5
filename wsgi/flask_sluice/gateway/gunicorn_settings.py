"""gunicorn's settings for the gateway, each with its reason.

``gunicorn -c python:flask_sluice.gateway.gunicorn_settings "flask_sluice.gateway.app:create_app()"`` works with the installed
package alone; gunicorn.conf.py of a checkout takes everything from here. The gateway's own settings come from the
environment (flask_sluice.gateway.settings).
"""

from flask_sluice.server import configure
from flask_sluice.server.configuration import patch_process

patch_process()

import gc
import logging
import math
import os
import sys
from pathlib import Path
from typing import Any

import gevent
from gunicorn.arbiter import Arbiter

from flask_sluice.doctor.helping.reports import server_reports
from flask_sluice.gateway import setting_files
from flask_sluice.gateway.application import Application
from flask_sluice.gateway.environment import (
    SettingsError,
    plain_settings_of_env_file,
    server_settings,
)
from flask_sluice.gateway.gunicorn_start import (
    check_is_free,
    check_recordings,
    say_where_it_is,
)
from flask_sluice.gateway.relay.address import proxy_for
from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError
from flask_sluice.gateway.simulator.scenarios.scenario_file import read_scenario
from flask_sluice.observe.multiprocess import folder as metrics_folder
from flask_sluice.server.worker import Worker
from flask_sluice.stream import registry

_MOVE_METRICS_SECONDS = 1.0

# Made here, in the master, so that all workers share them.
server_reports()

try:
    _settings = server_settings()
    _warnings = setting_files.warnings(os.environ)
    # The worker and the master read some settings from the environment. gunicorn sets these there, and takes them away again
    # before it reads this file at a reload. No secrets, since gunicorn shows its settings at its log level "debug".
    raw_env = [f"{name}={value}" for name, value in plain_settings_of_env_file(os.environ).items()]
    for _upstream in _settings.upstream:
        proxy_for(_upstream)
    check_recordings(_settings)
    if _settings.scenario:
        read_scenario(Path(_settings.scenario))
except (SettingsError, ScenarioError) as error:
    sys.exit(f"sluice: {error}")

bind = _settings.bind
workers = _settings.workers

# gunicorn leaves connections beyond this number waiting without a response, health checks too. The gateway's own limit, which
# answers with 503, is 90 % of it, or lower by the connections that idle clients may hold.
worker_connections = max(_settings.max_streams * 10 // 9, _settings.max_streams + 100)

# gunicorn would believe any client from this host, or over a unix socket, about the scheme, and about SCRIPT_NAME and
# PATH_INFO, which change the path that keys are asked for. SLUICE_TRUSTED_PROXIES alone says which proxies are believed, and
# the environment's SCRIPT_NAME says whether there is a prefix.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
# As these two are empty it does not matter which client connects. Any other value has each request's address parsed: 15 us.
forwarded_allow_ips = "*"

# The most that gunicorn offers, and what nginx passes on (its default is half of it): a question to /stream_chat is in it.
limit_request_line = 8190
# Tokens of large organisations have more than gunicorn's 8190 bytes, and behind some proxies there are more than 100 headers.
# The servers behind take 16 KiB (Node) to 64 KiB (uvicorn). All fields together may have 32 KiB (see ``limit_heads``).
limit_request_fields = 256
limit_request_field_size = 16 * 1024


def nworkers_changed(server: Arbiter, _new_value: int, old_value: int | None) -> None:
    """Prepare the folder for metrics, if there is one, at the server's start.

    gunicorn calls this hook before ``preload_app`` loads the app, and with it prometheus-client.
    """
    if old_value is not None:
        # A reload with another SLUICE_BIND: gunicorn closes what it has before it tries the new address.
        bound = [listener.cfg_addr for listener in server.LISTENERS]
        _check_are_free([address for address in server.cfg.address if address not in bound])
        return
    if problem := metrics_folder.prepare():
        server.log.warning(problem)


def on_starting(server: Any) -> None:
    """Check in the master, before it listens, what would fail later, or in many lines."""
    _warn(server)
    # The app comes from this package alone, so that a reload can import all of it anew.
    server.rereads_package = True
    # A listener may be inherited: from systemd, or from the master that this one replaces (USR2).
    if not os.environ.keys() & {"LISTEN_FDS", "GUNICORN_FD"}:
        _check_are_free(server.cfg.address)


def on_reload(server: Any) -> None:
    """Say in the master what may not be meant with the settings that have been read again."""
    _warn(server)
    if server.cfg.preload_app:
        server.log.warning("with preload_app a reload changes neither the code nor the settings")


def post_worker_init(worker: Worker) -> None:
    """Prepare a worker that has loaded the app."""
    # What the start has made stays. Otherwise, and at the usual 700 new objects, a full collection would often look
    # through all of it, and hold up all streams meanwhile.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    # Nothing prints it, and gevent makes an object for each greenlet that logs: 2 % of a short answer.
    logging.logThreads = False
    app = worker.app.callable
    if not isinstance(app, Application):
        return  # Another app on the gateway's settings.
    _fit_streams(worker)
    gevent.spawn(_move_metrics, app)
    for check in app.extensions["sluice_health_checks"]:
        gevent.spawn(check.run)
    if worker.age == 1:
        say_where_it_is(worker, _settings)
        gevent.spawn(app.extensions["sluice_journal"].check_settings)


def worker_exit(_server: Arbiter, worker: Worker) -> None:
    """Save what the worker has, at its end."""
    app = worker.app.callable
    if isinstance(app, Application):
        # A stream may just have come to its end, which Redis does not have yet.
        app.extensions["sluice_journal"].close()
        if (recorder := app.extensions["sluice_recorder"]) is not None:
            recorder.close()
        app.extensions["sluice_metrics"].move()


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Clean up in the master after a worker, however it has ended."""
    metrics_folder.forget_worker(worker.pid)


# Each client's connection is a file, and each stream that is relayed has another one.
_files_of_connection = 2 if _settings.upstream else 1
configure(
    globals(), drain_seconds=_settings.drain_seconds, files_of_connection=_files_of_connection
)


def _check_are_free(addresses: list[str | tuple[str, int]]) -> None:
    for address in addresses:
        if why := check_is_free(address):
            sys.exit(f"sluice: {why}")


def _warn(server: Any) -> None:
    for line in _warnings:
        server.log.warning(line)


def _fit_streams(worker: Worker) -> None:
    """Lower the limit of streams where gunicorn was given fewer connections than it needs."""
    admission = registry.admission()
    fitting = math.ceil(worker.cfg.worker_connections * 0.9)
    if admission.limit is not None and admission.limit > fitting:
        worker.log.warning(
            "%d streams at once, not SLUICE_MAX_STREAMS: worker_connections is %d",
            fitting,
            worker.cfg.worker_connections,
        )
        admission.limit = fitting


def _move_metrics(app: Application) -> None:
    while True:
        app.extensions["sluice_metrics"].move()
        gevent.sleep(_MOVE_METRICS_SECONDS)
