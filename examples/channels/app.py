"""Messages for one person and for all, who is there, and a logout that ends the session's other tabs, too."""

import os
import sqlite3
import uuid
from contextlib import closing

from flask import Flask, abort, redirect, render_template, request, session

from flask_sluice import Sluice

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "change this")
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
app.config["DATABASE"] = os.environ.get("DATABASE", "messages.db")
# None: the channels of this process, which is enough for one worker.
app.config["SLUICE_REDIS_URL"] = os.environ.get("REDIS_URL")
sluice = Sluice(app)


@app.get("/")
def page():
    if "user" not in session:
        return render_template("login.html")
    # It is read before the messages, so that none is missed. One may be among both; the page knows it by its id.
    last_id = sluice.channels.last_id(*own_channels())
    with closing(database()) as connection:
        messages = connection.execute(
            "SELECT id, sender, recipient, text FROM messages WHERE recipient IN ('', ?) ORDER BY id",
            [session["user"]],
        ).fetchall()
    return render_template("index.html", last_id=last_id, messages=messages, there=there())


@app.get("/events")
def events():
    """What the user may read is decided here, each time that the browser connects."""
    if "user" not in session:
        abort(403)
    return sluice.channels.response(
        *own_channels(), owner=session["user"], details={"session": session["id"]}
    )


@app.post("/messages")
def send():
    if "user" not in session:
        abort(403)
    recipient, text = request.form["recipient"], request.form["text"]
    if recipient and not is_name(recipient):
        abort(400)
    message = {"sender": session["user"], "recipient": recipient, "text": text}
    with closing(database()) as connection, connection:
        added = connection.execute(
            "INSERT INTO messages VALUES (NULL, :sender, :recipient, :text)", message
        )
    message["id"] = added.lastrowid
    sluice.channels.publish(channel_of(recipient) if recipient else "news", message)
    return "", 204


@app.post("/login")
def log_in():
    """In place of a login with a password."""
    name = request.form["name"].strip()
    if not is_name(name):
        abort(400)
    session.update(user=name, id=uuid.uuid4().hex)
    return redirect("/", 303)


@app.post("/logout")
def log_out():
    if "user" in session:
        # The tabs of this session, wherever they are connected; they come back, and get 403.
        sluice.channels.kick("news", where={"session": session["id"]})
        session.clear()
    return redirect("/", 303)


@app.get("/there")
def there():
    return [presence.owner for presence in sluice.channels.present("news")]


@sluice.channels.on_join
@sluice.channels.on_leave
def tell_that_it_changed(name, owner, _details):
    if name == "news":
        sluice.channels.publish("news", {"name": owner}, event="there")


def own_channels():
    return "news", channel_of(session["user"])


def channel_of(user):
    return f"user:{user}"


def is_name(text):
    return text.isprintable() and 0 < len(text) <= 40


def database():
    connection = sqlite3.connect(app.config["DATABASE"])
    connection.execute(
        "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, sender, recipient, text)"
    )
    return connection
