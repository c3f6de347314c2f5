"""A chat for the AI SDK's ``useChat``, whose answers go on while the page reloads or the connection is lost."""

import secrets
import time
from collections.abc import Iterator

from flask import Flask, Response, abort, request, session
from flask.typing import ResponseReturnValue

from flask_sluice import ApiError, Event, Sluice

app = Flask(__name__)
app.config["SECONDS_BETWEEN_WORDS"] = 0.1
app.config.from_prefixed_env()  # FLASK_SECRET_KEY signs the session; FLASK_SLUICE_REDIS_URL is for several workers
sluice = Sluice(app)

UI_MESSAGE_STREAM = {"x-vercel-ai-ui-message-stream": "v1"}


@app.get("/")
def page() -> ResponseReturnValue:
    user()
    return app.send_static_file("index.html")


@app.post("/api/chat")
def ask() -> ResponseReturnValue:
    """Answer the last message. ``sendMessage`` and ``regenerate`` of useChat post here."""
    try:
        chat_id, message = str(request.json["id"]), request.json["messages"][-1]
        question = "".join(part["text"] for part in message["parts"] if part["type"] == "text")
    except (KeyError, IndexError, TypeError):
        abort(400, "the body is not one of useChat's")
    # A chat has one answer at a time.
    stop(chat_id)
    words = write_answer(question, app.config["SECONDS_BETWEEN_WORDS"])
    stream = sluice.streams.start(
        message_parts(words), owner=user(), key=key_of(chat_id), error_event=error_part
    )
    return read(stream.id)


@app.get("/api/chat/<chat_id>/stream")
def resume(chat_id: str) -> ResponseReturnValue:
    """Send the running answer from its first part on, from which useChat builds the message again."""
    stream = sluice.streams.find(key=key_of(chat_id))
    if stream is None or stream.state != "running":
        return "", 204
    return read(stream.id)


@app.post("/api/chat/<chat_id>/stop")
def stop(chat_id: str) -> ResponseReturnValue:
    """End the running answer for all its readers. ``stop`` of useChat alone only ends the reading."""
    stream = sluice.streams.find(key=key_of(chat_id))
    if stream is not None:
        sluice.streams.stop(stream.id, owner=user())
    return "", 204


def read(stream_id: str) -> Response:
    return sluice.streams.response(
        stream_id, owner=user(), headers=UI_MESSAGE_STREAM, error_event=error_part
    )


def user() -> str:
    """Return the user's name. A random one in the session stands for a login."""
    name: str = session.setdefault("user", secrets.token_urlsafe())
    return name


def key_of(chat_id: str) -> str:
    """Return the key of a chat's streams. useChat chooses the id of a chat, so it is unique for one user only."""
    return f"chat:{user()}:{chat_id}"


def message_parts(words: Iterator[str]) -> Iterator[Event]:
    """Yield a message with one text, in the parts of the AI SDK's UI message stream."""
    yield part("start", messageId=secrets.token_urlsafe())
    yield part("text-start", id="answer")
    for word in words:
        yield part("text-delta", id="answer", delta=word)
    yield part("text-end", id="answer")
    yield part("finish")
    yield Event(data="[DONE]")


def error_part(error: Exception) -> Event:
    """Return the part that ends a message early. useChat knows an error by its type, not by the name of its event."""
    if isinstance(error, ApiError) and error.code == "stopped":
        return part("abort")
    return part("error", errorText="The answer could not be finished.")


def part(kind: str, **fields: str) -> Event:
    return Event.json({"type": kind, **fields})


def write_answer(question: str, seconds_between_words: float) -> Iterator[str]:
    """Yield the words of an answer. This stands for a language model."""
    yield "You asked:"
    for word in question.split():
        time.sleep(seconds_between_words)
        if word == "fail":
            raise ConnectionError("the language model does not answer")
        yield f" {word}"
