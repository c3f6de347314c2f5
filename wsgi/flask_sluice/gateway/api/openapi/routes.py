"""The route /openapi.json."""

from functools import cache

import msgspec
from flask import Blueprint, Response, current_app


def blueprint(*, has_keys: bool) -> Blueprint:
    """Return the route.

    has_keys: whether the server takes API keys
    """
    routes = Blueprint("openapi", __name__)

    @cache
    def document() -> bytes:
        # It imports the modules of all APIs, which few workers need.
        from flask_sluice.gateway.api.openapi.document import make_document  # noqa: PLC0415
        from flask_sluice.gateway.api.openapi.operations import OPERATIONS  # noqa: PLC0415

        return msgspec.json.encode(
            make_document(current_app.url_map, OPERATIONS, has_keys=has_keys)
        )

    @routes.get("/openapi.json")
    def read_document() -> Response:
        return Response(document(), content_type="application/json")

    return routes
