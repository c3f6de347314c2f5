"""Sluice on a machine whose names stand in a file, which a test writes: NAMES_FILE, JSON of addresses by name."""

import json
import os
import socket
import time
from pathlib import Path

from flask_sluice.gateway.relay import connection_pool

_look_up = socket.getaddrinfo


def _look_up_in_file(host: str, port: int, *args: object, **kwargs: object) -> list[tuple]:
    names = json.loads(Path(os.environ["NAMES_FILE"]).read_text())
    if host not in names:
        return _look_up(host, port, *args, **kwargs)
    while names[host] == "hangs":
        time.sleep(0.05)
        names = json.loads(Path(os.environ["NAMES_FILE"]).read_text())
    if not names[host]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
        for address in names[host]
    ]


socket.getaddrinfo = _look_up_in_file
connection_pool.MAX_AGE_SECONDS = float(os.environ["MAX_AGE_SECONDS"])

from app import app  # noqa: E402, F401
