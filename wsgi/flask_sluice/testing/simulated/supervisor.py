"""Runs a server that ends with the process that has started this one, however that ends.

``python -m flask_sluice.testing.simulated.supervisor FD ARGUMENT…``: FD is a socket that listens, the arguments are those of
``python -m gunicorn``. The end of the standard input ends this process and the server, with SIGKILL: a test has no use for a
slow end, and a killed test could not ask for one.
"""

import os
import signal
import sys
import threading

_FIRST_INHERITED_FD = 3
"""Where gunicorn looks for sockets, as systemd's services do."""


def main() -> None:
    """Start the server and end with it."""
    listener, *arguments = sys.argv[1:]
    server = os.fork()
    if server == 0:
        _become_server(int(listener), arguments)
    os.close(int(listener))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _, status = os.waitpid(server, 0)
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _become_server(listener: int, arguments: list[str]) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if listener == _FIRST_INHERITED_FD:
        os.set_inheritable(listener, True)
    else:
        os.dup2(listener, _FIRST_INHERITED_FD)
    environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    command = [sys.executable, "-m", "gunicorn", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter, not a shell


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    # This process leads the group of all that it has started.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
