"""An app that has nothing to do with Sluice."""

from flask import Flask

app = Flask(__name__)


@app.get("/unrelated")
def unrelated():
    return "unrelated"
