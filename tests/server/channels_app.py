"""A Flask app with channels, whose views tests ask to read, publish and kick."""

import os

from flask import Flask, current_app, request

from flask_sluice import Sluice

app = Flask(__name__)
app.config.update(
    {name: value for name, value in os.environ.items() if name == "SLUICE_REDIS_URL"},
    SLUICE_READERS_PER_OWNER=3,
    SLUICE_CHANNEL_HISTORY_EVENTS=500,
)
sluice = Sluice(app)
told: list[list[str]] = []


@sluice.channels.on_join
def has_joined(name, owner, details):
    told.append(["join", name, owner, current_app.name])


@sluice.channels.on_leave
def has_left(name, owner, details):
    told.append(["leave", name, owner, current_app.name])


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/read")
def read():
    return sluice.channels.response(
        *request.args.getlist("channel"),
        owner=request.args.get("owner"),
        details={"pid": os.getpid()},
        keepalive=request.args.get("keepalive", None, float),
        headers={"X-Read": "yes"},
    )


@app.post("/publish/<name>")
def publish(name):
    return {"id": sluice.channels.publish(name, request.json)}


@app.post("/kick/<name>")
def kick(name):
    sluice.channels.kick(name, request.args.get("owner"))
    return "", 204


@app.get("/present/<name>")
def present(name):
    return [presence.owner for presence in sluice.channels.present(name)]


@app.get("/pids/<name>")
def pids(name):
    """Which processes have the readers."""
    return [int(presence.details["pid"]) for presence in sluice.channels.present(name)]


@app.get("/told")
def told_():
    return told
