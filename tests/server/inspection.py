"""Lets a test look into a worker: what is open there, and what would leak."""

import gc
import os

import gevent
from flask import Flask

from flask_sluice.stream import registry
from flask_sluice.stream.event_stream import EventStream


def register_inspection(app: Flask) -> None:
    @app.get("/inspect")
    def inspect():
        gc.collect()
        greenlets = [thing for thing in gc.get_objects() if isinstance(thing, gevent.Greenlet)]
        return {
            "pid": os.getpid(),
            "greenlets": sum(not greenlet.dead for greenlet in greenlets),
            "files": len(os.listdir("/proc/self/fd")),
            "watched": len(registry.disconnect_watcher()),
            "timed": len(registry.ticker()),
            "inflight": registry.admission().count,
            "resident_kib": _resident_kib(),
        }

    @app.get("/alive")
    def alive():
        """How many streams there are, closed ones too, whose memory is in use: nothing is collected before."""
        return {"streams": sum(isinstance(thing, EventStream) for thing in gc.get_objects())}


def _resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
