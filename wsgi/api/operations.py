"""What operators and load balancers ask."""

from flask import Blueprint


def blueprint() -> Blueprint:
    routes = Blueprint("operations", __name__)

    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        # That this is answered at all is the statement: the loop turns.
        return {"status": "ok"}

    return routes
