"""What a program under test has sent to the simulator."""

from dataclasses import dataclass, replace
from typing import Any, Literal

RequestOutcome = Literal["complete", "error", "left", "refused"]

_MESSAGES = ("messages", "input", "prompt", "contents")


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """A request, and how it was answered so far.

    number: from 1 on, since the test began
    method, path: the path is without the query
    api: "chat", "completions", "responses", "messages", …; "" for a path that is not of an API
    headers: their names are in lower case; the values of keys and cookies are hidden
    body: decoded from JSON; None: there was none
    came_at: monotonic seconds
    status: of the response; None: it has not begun
    outcome: "complete"; "error": the answer broke off; "left": the client left before its end; "refused": by a status;
        None: it is being answered
    event_count, byte_count: how much of the answer was written
    seconds: from the request to the end of the answer, or to the client's leaving; None: it is being answered
    waited_seconds: from the end of the answer to the last request that asked the same, until this one came: how long the
        client has waited before it asked again; None: there was none before
    """

    number: int
    method: str
    path: str
    api: str
    headers: dict[str, str]
    body: Any
    came_at: float
    status: int | None
    outcome: RequestOutcome | None
    event_count: int
    byte_count: int
    seconds: float | None
    waited_seconds: float | None = None

    @property
    def left_early(self) -> bool:
        """Whether the client left before the end of the answer; ``event_count`` says after how many events."""
        return self.outcome == "left"

    @property
    def model(self) -> str | None:
        """The model that the body names."""
        model = self._field("model")
        return model if isinstance(model, str) else None

    @property
    def messages(self) -> Any:
        """The messages, or the prompt, in the form of the request's API."""
        return next((self.body[name] for name in _MESSAGES if self._field(name) is not None), None)

    @property
    def prompt(self) -> str:
        """The text of the user's last message, or of the prompt; "" where there is none."""
        given = self.messages
        if not isinstance(given, list):
            return given if isinstance(given, str) else ""
        users = [each for each in given if isinstance(each, dict) and each.get("role") == "user"]
        return _text_of(users[-1]) if users else ""

    @property
    def stream(self) -> bool:
        """Whether the body asks for a stream."""
        return bool(self._field("stream"))

    def _field(self, name: str) -> Any:
        return self.body.get(name) if isinstance(self.body, dict) else None


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content", message.get("parts"))
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def requests_of(answer: list[dict[str, Any]]) -> list[LlmRequest]:
    """Return the requests that the simulator has told of, the oldest first."""
    requests: list[LlmRequest] = []
    for fields in answer:
        ended_at = fields.pop("ended_at")
        seconds = None if ended_at is None else ended_at - fields["came_at"]
        request = LlmRequest(seconds=seconds, **fields)
        requests.append(_with_wait(request, requests))
    return requests


def _with_wait(request: LlmRequest, earlier: list[LlmRequest]) -> LlmRequest:
    same = [other for other in earlier if _asks_the_same(other, request)]
    if not same:
        return request
    last = same[-1]
    waited = max(0.0, request.came_at - last.came_at - (last.seconds or 0.0))
    return replace(request, waited_seconds=waited)


def _asks_the_same(one: LlmRequest, other: LlmRequest) -> bool:
    return (one.method, one.path, one.model, one.messages) == (
        other.method,
        other.path,
        other.model,
        other.messages,
    )
