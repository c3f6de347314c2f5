"""An app that stays on two threads: nginx has Sluice keep its readers' connections."""

import os
import time

from flask import Flask, abort, session

from flask_sluice import Event, Sluice

app = Flask(__name__)
app.secret_key = os.environ.get("APP_SECRET_KEY") or os.urandom(32)
# The same two that `sluice serve` has.
app.config["SLUICE_REDIS_URL"] = os.environ["SLUICE_REDIS_URL"]
app.config["SLUICE_SECRET_KEY"] = os.environ["SLUICE_SECRET_KEY"]
sluice = Sluice(app)


def count_to(last):
    for number in range(1, last + 1):
        time.sleep(0.2)
        yield Event.json({"number": number})


def user():
    """Return the user of this request, as any view of an app does."""
    return session.get("user") or abort(401)


@app.post("/login/<name>")
def log_in(name):
    session["user"] = name
    return {"user": name}


@app.post("/counts/<int:last>")
def start(last):
    stream = sluice.streams.start(count_to(last), owner=user())
    return {"id": stream.id}, 202


@app.get("/counts/<stream_id>")
def read(stream_id):
    # This thread is free again at once, however long the client reads.
    return sluice.streams.handoff(stream_id, owner=user())


@app.post("/news/<text>")
def publish(text):
    sluice.channels.publish("news", {"text": text, "by": user()})
    return "", 204


@app.get("/news")
def news():
    return sluice.channels.handoff("news", f"user:{user()}", owner=user())
