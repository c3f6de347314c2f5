"""A program that streams with the standard library of Windows: without fcntl, termios, epoll, poll and fork, and without extras.

It prints what came of it. Tests run it in a process of its own.
"""

import http.client
import importlib.abc
import os
import select
import signal
import sys
import threading

MISSING = {
    *("fcntl", "termios", "pwd", "grp", "resource", "syslog"),
    *("gevent", "greenlet", "gunicorn", "redis", "urllib3", "prometheus_client", "pytest"),
}


class Missing(importlib.abc.MetaPathFinder):
    """Finds none of the modules, and says so before the finders that would."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, Missing())
for module, names in {
    os: ("fork", "register_at_fork", "setsid", "killpg"),
    select: ("epoll", "poll", "EPOLLRDHUP", "EPOLLONESHOT", "POLLRDHUP", "kqueue"),
    signal: ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGCHLD", "SIGALRM", "setitimer"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

from flask import Flask  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

from flask_sluice import Event, StreamContext, sse_response  # noqa: E402
from flask_sluice.testing import read_events  # noqa: E402

app = Flask(__name__)
closed = threading.Event()


def count():
    yield from (Event.json(number) for number in range(3))


def listen(context):
    try:
        yield Event(data="one")
        context.wait(60)
    finally:
        closed.set()


@app.get("/count")
def stream_count():
    return sse_response(count())


@app.get("/listen")
def stream_until_left():
    context = StreamContext()
    return sse_response(listen(context), context=context, status=201)


read = read_events(app.test_client(), "/count")
print(read.outcome, len(read.events))
read = read_events(app.test_client(), "/listen", leave_after=1)
print(read.outcome, read.is_generator_closed)
closed.clear()

server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
connection.request("GET", "/listen")
response = connection.getresponse()
response.readline()
print(response.status, response.readline().decode().split()[1])
# The connection as well: a response without a length holds the socket alone.
response.close()
connection.close()
print("the generator was closed" if closed.wait(20) else "the generator was not closed")
server.shutdown()
server.server_close()
