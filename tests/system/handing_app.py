"""An app that hands readers over as the query says. It trusts everybody."""

import os

from flask import Flask, Response, request

from flask_sluice import Sluice

app = Flask(__name__)
for name in ("SLUICE_REDIS_URL", "SLUICE_SECRET_KEY", "SLUICE_HANDOFF_LOCATION"):
    app.config[name] = os.environ.get(name)
if "SLUICE_READERS_PER_OWNER" in os.environ:
    app.config["SLUICE_READERS_PER_OWNER"] = int(os.environ["SLUICE_READERS_PER_OWNER"])
sluice = Sluice(app)


@app.after_request
def add_headers(response: Response) -> Response:
    """What an extension does."""
    response.headers["Access-Control-Allow-Origin"] = "https://page.example.com"
    response.headers["X-From-App"] = "yes"
    return response


@app.get("/plain")
def plain() -> str:
    return "plain"


@app.route("/streams/<stream_id>", methods=["GET", "POST"])
def read(stream_id: str) -> Response:
    request.get_data()
    given = request.args
    response = sluice.streams.handoff(
        stream_id,
        owner=given.get("owner"),
        wait=given.get("wait", 0, float),
        keepalive=given.get("keepalive", type=float),
        retry=given.get("retry", 2000, int),
        headers={"X-From-View": "also"},
    )
    response.set_cookie("seen", "1")
    return response


@app.get("/channels")
def read_channels() -> Response:
    """The channels of the query's ``name``s, for an owner with the rest of the query."""
    details = request.args.to_dict()
    owner, keepalive = details.pop("owner", None), details.pop("keepalive", 15)
    for name in ("name", "last_event_id"):
        details.pop(name, None)
    names = request.args.getlist("name")
    return sluice.channels.handoff(*names, owner=owner, details=details, keepalive=float(keepalive))
