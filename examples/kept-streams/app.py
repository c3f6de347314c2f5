"""Answers that go on without their readers: the page may be reloaded, and a second one may read along."""

import os
import time
import uuid

from flask import Flask, request, session

from flask_sluice import ApiError, Event, Sluice

SECONDS_BETWEEN_WORDS = float(os.environ.get("SECONDS_BETWEEN_WORDS", "0.2"))

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "change this")
# None: the memory of this process, which is enough for one worker.
app.config["SLUICE_REDIS_URL"] = os.environ.get("REDIS_URL")
app.config["SLUICE_STREAMS_PER_OWNER"] = 3
sluice = Sluice(app)


def answer(question):
    """In place of a language model."""
    for word in question.split():
        if word == "fail":
            raise ApiError(502, "model_error", "the model does not answer")
        yield Event.json({"word": word})
        time.sleep(SECONDS_BETWEEN_WORDS)


@app.before_request
def know_user():
    """In place of a login."""
    session.setdefault("user", uuid.uuid4().hex)


@app.get("/")
def page():
    return PAGE


@app.post("/answers")
def ask():
    user = session["user"]
    stream = sluice.streams.start(answer(request.json["question"]), owner=user, key="newest")
    return {"id": stream.id}, 202


@app.get("/answers/<stream_id>")
def read(stream_id):
    return sluice.streams.response(stream_id, owner=session["user"])


@app.get("/answers/<stream_id>/status")
def status(stream_id):
    return sluice.streams.status(stream_id, owner=session["user"]).as_dict()


@app.delete("/answers/<stream_id>")
def stop(stream_id):
    sluice.streams.stop(stream_id, owner=session["user"])
    return "", 204


@app.get("/newest")
def newest():
    found = sluice.streams.find(key="newest", owner=session["user"])
    return {"stream": found and found.as_dict()}


PAGE = """<!doctype html>
<title>Kept streams</title>
<form id="form"><input id="question" value="Why stream answers that anybody may lose at any moment?" size="60"> <button>Ask</button></form>
<button id="stop">Stop</button>
<p id="answer"></p>
<p id="state"></p>
<script type="module">
const [form, question, stopButton, answer, state] =
  ["form", "question", "stop", "answer", "state"].map((id) => document.getElementById(id));
let id, source;

function read() {
  source?.close();
  answer.textContent = "";
  state.textContent = "running";
  // When the connection breaks, it comes back by itself, and goes on after the last event.
  source = new EventSource("/answers/" + id);
  source.onmessage = ({ data }) => answer.append(JSON.parse(data).word + " ");
  source.addEventListener("done", () => end("complete"));
  source.addEventListener("error", ({ data }) => data && end(JSON.parse(data).error.code));
}

function end(text) {
  source.close();
  state.textContent = text;
}

form.onsubmit = async (event) => {
  event.preventDefault();
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ question: question.value });
  ({ id } = await (await fetch("/answers", { method: "POST", headers, body })).json());
  read();
};
stopButton.onclick = () => id && fetch("/answers/" + id, { method: "DELETE" });

// After a reload: the newest answer from its first word, whether it runs or not.
const { stream } = await (await fetch("/newest")).json();
if (stream) {
  id = stream.id;
  read();
}
</script>
"""
