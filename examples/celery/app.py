"""A page's long jobs run in Celery; any worker of the web server sends their progress to the browser as it is published."""

import os
import uuid

from flask import Flask, render_template_string, request, session
from tasks import REDIS_URL, research

from flask_sluice import Sluice

START_SECONDS = 30
"""How long a reader waits for a Celery worker to take the task."""

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "change this")
app.config["SLUICE_REDIS_URL"] = REDIS_URL
sluice = Sluice(app)


@app.before_request
def know_user():
    """In place of a login."""
    session.setdefault("user", uuid.uuid4().hex)


@app.get("/")
def page():
    return render_template_string(PAGE)


@app.post("/jobs")
def begin():
    stream_id = sluice.streams.new_id()
    research.delay(stream_id, session["user"], request.json["question"])
    return {"id": stream_id}, 202


@app.get("/jobs/<stream_id>")
def read(stream_id):
    return sluice.streams.response(stream_id, owner=session["user"], wait=START_SECONDS)


@app.get("/jobs/<stream_id>/status")
def status(stream_id):
    return sluice.streams.status(stream_id, owner=session["user"]).as_dict()


@app.delete("/jobs/<stream_id>")
def stop(stream_id):
    sluice.streams.stop(stream_id, owner=session["user"])
    return "", 204


PAGE = """<!doctype html>
<title>Research</title>
<button id="begin">Begin</button> <button id="stop">Stop</button>
<pre id="steps"></pre>
<script type="module">
const [begin, stop, steps] = ["begin", "stop", "steps"].map((name) => document.getElementById(name));
let id;
begin.onclick = async () => {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch("/jobs", { method: "POST", headers, body: JSON.stringify({ question: "Why stream?" }) });
  id = (await response.json()).id;
  const source = new EventSource("/jobs/" + id);
  source.onmessage = (event) => steps.append(event.data + "\\n");
  source.addEventListener("done", () => source.close());
  source.addEventListener("error", (event) => {
    if (event.data) {
      steps.append(event.data + "\\n");
      source.close();
    }
  });
};
stop.onclick = () => fetch("/jobs/" + id, { method: "DELETE" });
</script>
"""
