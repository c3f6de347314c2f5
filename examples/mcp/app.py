"""An MCP server in one view. A quick tool answers with JSON, a slow one with a stream; closing the stream cancels the tool."""

import os
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Annotated, Any

import mcp_http as mcp
import msgspec
from flask import Flask, Response, g, json, request
from mcp_http import Id, Json, Params, RpcError

from flask_sluice import ApiError, Event, sse_response

Report = Callable[[float, float, str], Event]
Steps = Generator[Event, None, str]
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1_000_000
ORIGINS = os.environ.get("MCP_ORIGINS", "").split()


class ToolError(Exception):
    """An error for the model, which may try again with other arguments."""


class CountWords(msgspec.Struct, forbid_unknown_fields=True):
    """Count the words of a text."""

    text: str

    def run(self) -> str:
        return f"{len(self.text.split())} words"


class ReadPages(msgspec.Struct, forbid_unknown_fields=True):
    """Read pages one by one."""

    pages: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1

    def steps(self, report: Report) -> Steps:
        for page in range(1, self.pages + 1):
            time.sleep(self.seconds)  # the work; on gevent it ends here when the client leaves
            yield report(page, self.pages, f"page {page}")
        return f"{self.pages} pages read"


# The fields are the tool's arguments. A quick tool has `run`, a slow one `steps`; both return the text of the result.
TOOLS: dict[str, type[Any]] = {"count_words": CountWords, "read_pages": ReadPages}


@app.post("/mcp")
def answer() -> Response | tuple[Json | str, int]:
    mcp.check_origin(request.headers.get("Origin"), ORIGINS)
    message = mcp.read_message(request.get_data())
    if message.id is msgspec.UNSET:
        return "", 202
    g.message_id = message.id
    params = mcp.read_params(message)
    g.is_older = mcp.is_older(params, request.headers)
    if not g.is_older:
        mcp.check_version(message, params, request.headers)
    if message.method == "tools/call":
        return call(message.id, params)
    return mcp.success(message.id, **describe(message.method, params, is_older=g.is_older)), 200


def describe(method: str, params: Params, *, is_older: bool) -> Json:
    about: Json = {"capabilities": {"tools": {}}}
    cache = {"ttlMs": 3_600_000, "cacheScope": "public"}
    match method, is_older:
        case "tools/list", _:
            _, schemas = msgspec.json.schema_components(TOOLS.values())
            tools = [
                {"name": name, "description": tool.__doc__, "inputSchema": schemas[tool.__name__]}
                for name, tool in TOOLS.items()
            ]
            return {"tools": tools, **cache}
        case "server/discover", False:
            return {"supportedVersions": [mcp.VERSION], **about, **cache}
        case "initialize", True:
            is_known = params.older_version in mcp.OLDER_VERSIONS
            version = params.older_version if is_known else mcp.OLDER_VERSIONS[0]
            return {"protocolVersion": version, "serverInfo": mcp.SERVER, **about}
        case "ping", True:
            return {}
    raise RpcError(-32601, f"Method not found: {method}", 404)


def call(message_id: Id, params: Params) -> Response | tuple[Json, int]:
    if params.name not in TOOLS:
        raise RpcError(-32602, f"Unknown tool: {params.name}")
    try:
        tool = msgspec.convert(params.arguments, TOOLS[params.name])
        if hasattr(tool, "run"):
            return mcp.tool_text(message_id, tool.run()), 200
    except (ToolError, msgspec.ValidationError) as error:
        return mcp.tool_text(message_id, str(error), is_error=True), 200
    steps = tool.steps(partial(report, params.meta.progress_token))
    return sse_response(
        messages(message_id, steps),
        is_terminal=is_response,
        error_event=partial(error_event, message_id),
    )


def messages(message_id: Id, steps: Steps) -> Generator[Event, None, None]:
    """Yield what the tool reports, then its result."""
    try:
        text = yield from steps
    except ToolError as error:
        yield Event.json(mcp.tool_text(message_id, str(error), is_error=True))
    else:
        yield Event.json(mcp.tool_text(message_id, text))


def report(token: int | str | None, done: float, total: float, text: str) -> Event:
    """Return a notification, or an event of which nothing is sent if the client did not ask for progress."""
    return Event() if token is None else Event.json(mcp.progress(token, done, total, text))


def is_response(event: Event) -> bool:
    """Whether it is the last message. The others are notifications, which name a method."""
    return event.data is not None and "method" not in json.loads(event.data)


def error_event(message_id: Id, error: Exception) -> Event:
    text = error.message if isinstance(error, ApiError) else "Internal error"
    return Event.json(mcp.failure(message_id, RpcError(-32603, text)))


@app.errorhandler(RpcError)
def refuse(error: RpcError) -> tuple[Json, int]:
    # Clients of older revisions read an error only from a response with status 200.
    status = 200 if g.get("is_older") else error.status
    return mcp.failure(g.get("message_id", msgspec.UNSET), error), status


@app.errorhandler(500)
def refuse_after_bug(_: Exception) -> tuple[Json, int]:
    # Any other status is a failed connection to the TypeScript client.
    return refuse(RpcError(-32603, "Internal error", 200))
