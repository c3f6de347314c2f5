"""The errors of upstreams whose answers cannot be passed on as they are."""

import json
import re
import time
from calendar import timegm
from email.utils import parsedate
from typing import Any

from flask_sluice.gateway.relay.answer.told_error import ToldError
from flask_sluice.gateway.relay.connection import UnreadRequestError
from flask_sluice.gateway.relay.http1_parser import ResponseHead
from flask_sluice.gateway.relay.response import UpstreamResponse
from flask_sluice.stream.errors import ApiError, ErrorBody, PlainAnswer, as_unicode

TRY_ANOTHER = (502, 503, 504, 529)
"""The statuses with which an upstream says that it has not processed the request, and another may."""
_MAX_DEPTH = 4
"""How deep an error is looked for."""


def first_event_error(error: ToldError, *, is_committed: bool) -> ApiError | PlainAnswer:
    """Return what is raised for a stream with status 200 whose first event is an error.

    is_committed: whether the client has its 200 already. If not, it gets the upstream's JSON with the status that the
        upstream would have answered without streaming
    """
    status = error.status or 502
    if is_committed:
        return UpstreamRefusal(status, error.text, _told_in(error.answer, "application/json"))
    return PlainAnswer(status, {"Content-Type": "application/json"}, error.answer)


class UpstreamRefusal(ApiError):
    """A refusal of the upstream's for a client that has its 200 already, in the upstream's words.

    Its code for the log and the metrics is ``upstream_error``: what an upstream may say there has no bounds.

    told: what the upstream said, with ``type``, ``code`` and ``param`` as OpenAI's API has them
    retry_after_seconds: of the refusal's Retry-After; the client finds it as ``retry_after``
    """

    def __init__(
        self,
        status: int,
        message: str,
        told: dict[str, Any],
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(status, "upstream_error", message)
        self._told = told
        self._retry_after_seconds = retry_after_seconds

    def body(self) -> ErrorBody:
        body = super().body()
        for field in ("type", "code", "param"):
            value = self._told.get(field)
            if value and isinstance(value, str):
                body[field] = as_unicode(value)
        code = self._told.get("code")
        if isinstance(code, int) and 0 < code < 1_000_000:
            body["code"] = code  # Such as vLLM's 400.
        if self._retry_after_seconds is not None:
            body["retry_after"] = self._retry_after_seconds
        return body


def cut_refusal(head: ResponseHead) -> ApiError:
    """Return the error for a refusal whose body did not come whole: what its head says is known."""
    error_type = UnreadRequestError if head.status in TRY_ANOTHER else ApiError
    wait = head.values.get("retry-after")
    return error_type(
        head.status,
        "upstream_error",
        f"the upstream answered with status {head.status}, and the connection broke before it said why",
        headers={} if wait is None else {"Retry-After": wait},
    )


def late_refusal(response: UpstreamResponse) -> ApiError:
    """Return the error for a response that is not a stream, for a client that has its 200 already. Closes the response."""
    head, body = response.head, response.peek()
    response.abandon()
    status = head.status
    told = _told_in(body, head.values.get("content-type", ""))
    message = told.get("message") or f"the upstream answered with status {status} and no stream"
    if status < 400:
        return ApiError(502, "upstream_invalid", message)
    return UpstreamRefusal(status, message, told, _seconds_of(head.values.get("retry-after")))


def _told_in(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the error in a refusal's body, in OpenAI's fields; without ``message`` if there is none for people to read."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        is_text = content_type.lower().startswith("text/plain")
        return {"message": body.decode("utf-8", "replace").strip()} if is_text else {}
    return _told_by(value)


def _told_by(value: object, depth: int = 0) -> dict[str, Any]:
    """Find the error in JSON: OpenAI's, and what Ollama, FastAPI, older vLLM and Google's servers answer instead."""
    if isinstance(value, str):
        return {"message": value}
    if isinstance(value, list) and depth < _MAX_DEPTH:
        found = [told for each in value if (told := _told_by(each, depth + 1))]
        return (
            {**found[0], "message": "; ".join(told["message"] for told in found)} if found else {}
        )
    if not isinstance(value, dict) or depth >= _MAX_DEPTH:
        return {}
    for field in ("error", "detail", "errors"):
        if told := _told_by(value.get(field), depth + 1):
            # Some have the code beside a text.
            return {**value, **told}
    if isinstance(value.get("msg"), str) and isinstance(value.get("loc"), list):
        # FastAPI's, of a field that pydantic refuses.
        field = ".".join(str(each) for each in value["loc"] if each != "body")
        return {"message": f"{field}: {value['msg']}", "param": field}
    return value if isinstance(value.get("message"), str) else {}


def _seconds_of(retry_after: str | None) -> int | None:
    """Return the seconds of a Retry-After, which may be a date (RFC 9110, section 10.2.3); None if it is neither."""
    if retry_after is None:
        return None
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return int(retry_after)
    try:
        date = parsedate(retry_after)
        return None if date is None else max(0, round(timegm(date) - time.time()))
    except (ValueError, OverflowError):
        return None
