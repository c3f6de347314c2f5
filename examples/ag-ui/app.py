"""An agent for frontends that speak AG-UI: those with its HttpAgent, such as CopilotKit's."""

import contextlib
import json
import uuid
from collections.abc import Generator, Iterator

from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StateSnapshotEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
)
from ag_ui.encoder import EventEncoder
from flask import Flask, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from flask_sluice import ApiError, Event, StreamContext, sse_response

LAST_EVENTS = {"RUN_FINISHED", "RUN_ERROR"}

app = Flask(__name__)
app.config["SECONDS_BETWEEN_WORDS"] = 0.1
app.config.from_prefixed_env("AGENT")
app.logger.setLevel("INFO")


@app.post("/agent")
def start_run() -> ResponseReturnValue:
    try:
        asked = RunAgentInput.model_validate_json(request.get_data())
    except ValidationError as error:
        return {"error": {"code": "invalid_request", "message": str(error)}}, 422
    context = StreamContext()
    return sse_response(
        run(asked, context), is_terminal=is_last, error_event=run_error, context=context
    )


def run(asked: RunAgentInput, context: StreamContext) -> Iterator[str]:
    encode = EventEncoder().encode
    thread_id, run_id = asked.thread_id, asked.run_id
    yield encode(RunStartedEvent(thread_id=thread_id, run_id=run_id))
    try:
        with contextlib.closing(answer(asked, context)) as events:
            for event in events:
                yield encode(event)
        if not context.is_stopped:
            yield encode(RunFinishedEvent(thread_id=thread_id, run_id=run_id))
            # Save the run here: this is reached although the user may leave with the last event.
            app.logger.info("the run %s is complete", run_id)
    finally:
        # This is reached when the user leaves before, too.
        app.logger.info("the run %s is over", run_id)


def answer(asked: RunAgentInput, context: StreamContext) -> Generator[BaseEvent, None, None]:
    """Echo the question word by word. This stands for a model, or for the framework that runs your agent."""
    words = ["You", "asked:", *question_of(asked).split()]
    message_id = str(uuid.uuid4())
    yield TextMessageStartEvent(message_id=message_id, role="assistant")
    for word in words:
        if word == "fail":
            raise ConnectionError("the model does not answer")
        yield TextMessageContentEvent(message_id=message_id, delta=f"{word} ")
        # Unlike time.sleep(), this returns at once when the user leaves, on servers with threads, too.
        if context.wait(app.config["SECONDS_BETWEEN_WORDS"]):
            return
    yield TextMessageEndEvent(message_id=message_id)
    for tool in asked.tools or ():
        # The page runs the tool, and begins another run with its result.
        if tool.name in words:
            call_id = str(uuid.uuid4())
            yield ToolCallStartEvent(tool_call_id=call_id, tool_call_name=tool.name)
            yield ToolCallArgsEvent(tool_call_id=call_id, delta=json.dumps({"words": len(words)}))
            yield ToolCallEndEvent(tool_call_id=call_id)
    yield StateSnapshotEvent(snapshot={"words": len(words)})


def question_of(asked: RunAgentInput) -> str:
    contents = [message.content for message in asked.messages if message.role == "user"]
    content = contents[-1] if contents else ""
    if isinstance(content, str):
        return content
    return " ".join(part.text for part in content if part.type == "text")


def is_last(event: Event) -> bool:
    return json.loads(event.data or "{}").get("type") in LAST_EVENTS


def run_error(error: Exception) -> Event:
    """Return RUN_ERROR: a run that does not end with it, or with RUN_FINISHED, fails in its own ways in each frontend."""
    if not isinstance(error, ApiError):  # ApiErrors are Sluice's: a restart, a deadline.
        error = ApiError(500, "internal_error", "The agent failed.")
    event = RunErrorEvent(message=error.message, code=error.code)
    return Event(data=event.model_dump_json(by_alias=True, exclude_none=True))
