"""The errors of upstreams whose answers cannot be passed on as they are."""

from flask_sluice.gateway.relay.answer.told_error import ToldError
from flask_sluice.gateway.relay.completion_chunks import as_json
from flask_sluice.gateway.relay.exchange import read_body
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.stream.errors import ApiError, PlainAnswer
from flask_sluice.stream.loop.steps import Steps

_MAX_BODY_BYTES = 1024 * 1024


def first_event_error(error: ToldError, *, is_committed: bool) -> ApiError | PlainAnswer:
    """Return what is raised for a stream with status 200 whose first event is an error.

    is_committed: whether the client has its 200 already. If not, it gets the upstream's JSON with the status that the
        upstream would have answered without streaming
    """
    status = error.status or 502
    if is_committed:
        return ApiError(status, "upstream_error", error.text)
    return PlainAnswer(status, {"Content-Type": "application/json"}, error.answer)


def late_refusal(response: UpstreamResponse, timeout_seconds: float) -> Steps[ApiError]:
    """Return the error for a response that is not a stream, for a client that has its 200 already. Closes the response."""
    try:
        body = yield from read_body(response, timeout_seconds, _MAX_BODY_BYTES)
    except OSError:
        body = b""
    finally:
        response.abandon()
    status = response.head.status
    error = as_json(body).get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return ApiError(
        status if status >= 400 else 502,
        "upstream_error" if status >= 400 else "upstream_invalid",
        str(message or f"the upstream answered with status {status} and no stream"),
    )
