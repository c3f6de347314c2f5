"""An app that was written for Flask-SSE: a shop that shows its orders, and what its customers say, as they come.

test_flask_sse.py runs it as it is, and moved over as docs/from-flask-sse.md says.
"""

import os
from datetime import datetime, timezone

from flask import Flask, render_template_string, request
from flask_sse import sse

app = Flask(__name__)
app.config["REDIS_URL"] = os.environ.get("REDIS_URL")
app.register_blueprint(sse, url_prefix="/stream")

PAGE = """<!doctype html>
<title>Shop</title>
<link rel="icon" href="data:,">
<ul id="shown"></ul>
<script>
  const orders = new EventSource("{{ url_for('sse.stream') }}");
  const social = new EventSource("{{ url_for('sse.stream', channel='users.social') }}");
  orders.addEventListener("order", (event) => show("order " + JSON.parse(event.data).number));
  social.onmessage = (event) => show(event.data);
  function show(text) {
    document.querySelector("#shown").append(Object.assign(document.createElement("li"), { textContent: text }));
  }
</script>
"""


@app.get("/")
def index():
    return render_template_string(PAGE)


@app.post("/orders/<int:number>")
def order(number):
    placed_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    sse.publish({"number": number, "at": placed_at, "for": "Zoë"}, type="order")
    return "", 201


@app.post("/says")
def say():
    """What the body has, which is a value of any kind."""
    sse.publish(request.json, channel="users.social")
    return "", 201


@app.post("/closing")
def close():
    sse.publish("The shop closes.\nCome again!", type="closing", retry=60_000)
    return "", 201


@app.post("/salaries")
def pay():
    sse.publish({"ada": 7000}, channel="salaries")
    return "", 201
