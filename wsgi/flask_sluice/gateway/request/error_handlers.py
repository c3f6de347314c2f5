"""Error responses: every failure before the first byte of the answer, in the form of the API that was asked."""

import logging

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from flask_sluice.server.gunicorn_adapter import FRAMING_ERRORS
from flask_sluice.stream import registry
from flask_sluice.stream.admission import TooManyStreamsError
from flask_sluice.stream.errors import ApiError, PlainAnswer, as_api_error
from flask_sluice.stream.headers_and_errors import (
    gemini_error_json,
    messages_error_json,
    ollama_error_json,
)
from flask_sluice.stream.responses import StreamResponse, request_id

logger = logging.getLogger("sluice.api")

_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
}
_RETRY_SECONDS = 1


def register(app: Flask) -> None:
    """Have every error of the application answered with the JSON that clients of its API expect."""
    app.register_error_handler(ApiError, _api_error)
    app.register_error_handler(PlainAnswer, _plain_answer)
    app.register_error_handler(TooManyStreamsError, _too_many_streams)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)
    for framing_error in FRAMING_ERRORS:
        app.register_error_handler(framing_error, _malformed_body)
    app.after_request(_add_request_id)


def _api_error(error: ApiError) -> Response:
    registry.stats().refuse(error.status, error.code)
    headers = {"Content-Type": "application/json", **error.headers}
    return Response(_error_json(error, request.path), status=error.status, headers=headers)


def _error_json(error: ApiError, path: str) -> bytes:
    """Return the body in the form of the API that has this path; OpenAI's for all other paths."""
    if path.startswith("/api/"):
        return ollama_error_json(error)
    if path.startswith("/v1beta/") or is_google_client():
        return gemini_error_json(error)
    # Anthropic's clients name the version of the API in each request, whatever its path.
    if "messages" in path.split("/") or "Anthropic-Version" in request.headers:
        return messages_error_json(error).encode()
    return msgspec.json.encode({"error": error.body()})


def is_google_client() -> bool:
    """Return whether a client of Google's asks, by its headers, or the path that it posts to (``…/models/NAME:METHOD``).

    Their newer ones ask below /v1, as OpenAI's do.
    """
    if "X-Goog-Api-Client" in request.headers:
        return True
    path = request.path
    return request.method == "POST" and path.startswith("/v1/models/") and ":" in path


def _plain_answer(answer: PlainAnswer) -> Response:
    registry.stats().refuse(answer.status, "upstream_error")
    return Response(answer.body, status=answer.status, headers=answer.headers)


def _too_many_streams(error: TooManyStreamsError) -> Response:
    return _api_error(
        ApiError(
            503,
            "overloaded",
            f"{error}; try again later",
            headers={"Retry-After": str(_RETRY_SECONDS)},
        )
    )


def _http_error(error: HTTPException) -> Response:
    """Answer what Flask and Werkzeug raise, and the server while it reads a body."""
    status = error.code or 500
    code = _CODES.get(status, "internal_error" if status >= 500 else "invalid_request")
    message = error.description or error.name
    if status == 404:
        message = f"there is no {request.path} here"
    elif status == 405:
        message = f"{request.path} does not take {request.method}"
    elif status == 408:
        message = "the request's body took too long to come"
    response = _api_error(ApiError(status, code, message))
    # A 405 has to have Allow (RFC 9110, section 15.5.6).
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _malformed_body(error: Exception) -> Response:
    """Answer a chunked body that is malformed: gunicorn raises this while the view reads the body."""
    return _api_error(ApiError(400, "invalid_request", f"the body's framing is broken: {error}"))


def _unexpected(error: Exception) -> Response:
    logger.exception("request failed request_id=%s", request_id(request), exc_info=error)
    return _api_error(as_api_error(error))


def _add_request_id(response: Response) -> Response:
    if not isinstance(response, StreamResponse):  # It has the header already.
        response.headers["X-Request-Id"] = request_id(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
    return response
