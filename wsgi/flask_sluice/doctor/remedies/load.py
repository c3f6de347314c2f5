"""What to change where streams hold up each other, or other requests."""

from flask_sluice.doctor.remedies.remedy import Remedy

SIX_CONNECTIONS = (
    Remedy("nginx, in server, from 1.25.1 on", "listen 443 ssl;\nhttp2 on;"),
    Remedy("nginx, in server, before 1.25.1", "listen 443 ssl http2;"),
    Remedy("Apache, in the VirtualHost, with a2enmod http2", "Protocols h2 http/1.1"),
    Remedy(
        "HAProxy, in the frontend",
        "bind :443 ssl crt /etc/haproxy/site.pem alpn h2,http/1.1",
    ),
    Remedy(
        "JavaScript, in the page: one EventSource for all tabs, in a shared worker",
        'new SharedWorker("/static/events.js")',
    ),
)
"""Over HTTP/1.1 a browser opens six connections to a host, and each EventSource holds one."""

TOO_FEW_AT_ONCE = (
    Remedy(
        "gunicorn, on the command line: one stream for each thread",
        "gunicorn --worker-class gthread --threads 100 app:app",
    ),
    Remedy(
        "gunicorn, on the command line: a greenlet for each stream",
        "gunicorn -c python:flask_sluice.server.settings app:app",
    ),
    Remedy(
        "waitress, whose defaults are 4 threads and 100 connections",
        "waitress-serve --threads=100 --connection-limit=1000 app:app",
    ),
    Remedy("uWSGI, in its ini file", "gevent = 100\ngevent-early-monkey-patch = true"),
    Remedy("Apache, with mod_wsgi", "WSGIDaemonProcess app threads=100"),
    Remedy(
        "Apache, in mods-available/mpm_event.conf: a thread for each stream",
        "ServerLimit 40\nThreadsPerChild 64\nMaxRequestWorkers 2560",
    ),
    Remedy("nginx, in events: a stream takes two", "worker_connections 32768;"),
    Remedy("HAProxy, in global: a stream takes two", "maxconn 20000"),
)
"""The server serves fewer streams at once than were asked for; the others wait or are refused."""

OTHERS_WAIT = (
    Remedy(
        "gunicorn, whose sync worker serves one request at a time; on the command line",
        "gunicorn --worker-class gthread --threads 100 app:app",
    ),
    Remedy(
        "uvicorn, in a handler that is `async`: what blocks holds up all; a plain `def` gets a thread",
        "await anyio.to_thread.run_sync(work)",
    ),
    Remedy(
        "gunicorn, with gevent: patch first, in gunicorn.conf.py",
        "from gevent import monkey\n\nmonkey.patch_all()",
    ),
)
"""Events come later the more streams are open."""

SLOW_READER_HOLDS_OTHERS = (
    Remedy(
        "any app, if it publishes to many readers: a bounded queue for each, and drop the reader whose queue is full",
        "queue = Queue(maxsize=100)\nqueue.put_nowait(event)",
    ),
    Remedy("nginx, in http: drop a client that takes nothing", "send_timeout 30s;"),
    Remedy("HAProxy, in defaults: drop a client that takes nothing", "timeout client 30s"),
    Remedy(
        "Flask, with channels: each reader has its own place in the channel (docs/channels.md)",
        'return sluice.channels.response("news", owner=user)',
    ),
)
"""One client that reads nothing stops the events of the others."""
