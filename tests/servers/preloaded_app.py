"""The app, in a process that has streamed already when gunicorn forks its workers from it."""

import threading
import urllib.request

from werkzeug.serving import make_server

from tests.servers.app import app


def stream_once() -> None:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/stream/raises?key=before"
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert b"event: error" in answer.read()
    server.shutdown()
    thread.join()
    server.server_close()


stream_once()
