"""The responses that are kept, in the journal of the resumable streams: an event of the one is an event of the other.

The first and the last event contain the response, and in a comment the input. The last one is never dropped, so a response
that has ended can be read as long as anything of it is there.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import request

from flask_sluice.extension.streams import AppStreams
from flask_sluice.gateway.request.client_identity import client_name, owner_name
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.apis.responses.items import Item
from flask_sluice.gateway.simulator.apis.responses.made import ID_BEGINNING
from flask_sluice.journal.errors import (
    JournalFullError,
    JournalLostError,
    JournalUnavailableError,
    UnknownStreamError,
)
from flask_sluice.journal.protocol import About, Description, Recorder
from flask_sluice.stream.errors import ApiError

logger = logging.getLogger("sluice.api")

_ID = re.compile(ID_BEGINNING + "[0-9a-f]{48}")
_ITEM_ID = re.compile("[a-z]+_(?P<token>[0-9a-f]{48})[0-9a-z]+")
_INPUT = b': {"input":'
_DATA = b"data: "
_DELETED = "-deleted"
_WAIT_SECONDS = 5.0
_LOOK_SECONDS = 0.01
_MAX_SHOWN_CHARACTERS = 64

Items = list[msgspec.Raw]
encode = msgspec.json.encode


class _Event(msgspec.Struct):
    response: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))


class _Comment(msgspec.Struct):
    input: Items


class _Output(msgspec.Struct):
    output: Items


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """A response as it is now.

    response: its fields
    output: the items of its output, undecoded
    items: those of the conversation before it, its own input included
    is_running: whether more is to come
    """

    id: str
    response: dict[str, Any]
    output: Items
    items: Items
    is_running: bool


def decode_items(items: Items) -> list[Item]:
    """Return items that are kept, decoded."""
    return msgspec.json.decode(b"[" + b",".join(map(bytes, items)) + b"]", type=list[Item])


class ResponseStore:
    """The responses that this worker can find.

    streams: keeps the events
    """

    def __init__(self, streams: AppStreams, settings: Settings) -> None:
        self._streams = streams
        self._settings = settings
        self._journal = streams.journal

    @property
    def can_keep(self) -> bool:
        """Whether the next request would find a response, whichever process it reaches."""
        return self._journal.is_shared or not request.environ["wsgi.multiprocess"]

    @property
    def key(self) -> str:
        """What the responses of the current request's client are found by: those of an API key, or all where there are no keys."""
        client = client_name(self._settings) if self._settings.api_keys else "all"
        return f"responses of {client}"

    def keeper(self, response_id: str, items: Items) -> "ResponseKeeper":
        """Return what keeps the current request's response."""
        about = About(owner_name(self._settings), self.key)
        return ResponseKeeper(self._journal.create, response_id, about, with_input(items))

    def find(self, response_id: str) -> KeptResponse:
        """Return a response. Raises ApiError 404 for one that is unknown, forgotten, deleted or another client's."""
        description = self.describe(response_id)
        event, is_running = description.terminal_event, description.terminal_event is None
        kept = None if event is None else _read(response_id, event, is_running=False)
        if kept is None:
            kept = _read(response_id, self._first_event(response_id), is_running=is_running)
            if kept is None and is_running and description.about is not None:
                # Its first event had to make room for others, and the last is still to come.
                kept = _without_beginning(response_id, description.about)
            if kept is None:
                raise unknown_response(response_id)
            kept.response["status"] = "in_progress" if is_running else "failed"
        if not is_running and kept.response["status"] == "failed" and not kept.response["error"]:
            # The process that made it is gone, and another one has ended the stream.
            text = "the process that generated the answer is gone"
            kept.response["error"] = {"code": "server_error", "message": text}
        return kept

    def describe(self, response_id: str) -> Description:
        """Return how the events of a response stand. Raises what ``find`` raises."""
        self._streams.require_shared()
        if not response_id.startswith(ID_BEGINNING):
            text = (
                f"Invalid 'response_id': '{response_id[:_MAX_SHOWN_CHARACTERS]}'. "
                f"Expected an ID that begins with '{ID_BEGINNING[:-1]}'."
            )
            raise ApiError(400, "invalid_value", text, param="response_id")
        try:
            if not _ID.fullmatch(response_id):
                raise UnknownStreamError
            description = self._journal.describe(response_id)
            if description.about is None or description.about.key != self.key:
                raise UnknownStreamError
        except UnknownStreamError:
            raise unknown_response(response_id) from None
        if self._is_there(response_id + _DELETED):
            raise unknown_response(response_id)
        return description

    def stop(self, response_id: str) -> None:
        """Have a response end, and wait for its end. Does nothing to one that has ended."""
        self._journal.stop(response_id)
        for _ in range(int(_WAIT_SECONDS / _LOOK_SECONDS)):
            if self._journal.describe(response_id).terminal_event is not None:
                return
            with self._journal.turns:
                self._journal.turns.sleep(_LOOK_SECONDS)

    def delete(self, response_id: str) -> None:
        """Have a response be found no more. Raises what ``find`` raises."""
        description = self.describe(response_id)
        if description.terminal_event is None:
            self.stop(response_id)
        # A stream that outlives the response's: journals forget none before its time.
        about = About("" if description.about is None else description.about.owner)
        with self._journal.turns:
            mark = self._journal.create(response_id + _DELETED, _ignore, about)
            mark.finish(b"event: deleted\ndata: {}\n\n")

    def item(self, item_id: str) -> tuple[Item, msgspec.Raw] | None:
        """Return an item of a response, of its output or its input, and the same undecoded; None: there is none."""
        match = _ITEM_ID.fullmatch(item_id)
        if match is None:
            return None
        try:
            kept = self.find(ID_BEGINNING + match["token"])
        except ApiError:
            return None
        undecoded = [*kept.output, *kept.items]
        items = zip(decode_items(undecoded), undecoded, strict=True)
        return next((found for found in items if found[0].id == item_id), None)

    def _is_there(self, stream_id: str) -> bool:
        try:
            self._journal.describe(stream_id)
        except UnknownStreamError:
            return False
        return True

    def _first_event(self, response_id: str) -> bytes:
        turns = self._journal.turns
        is_news = turns.new_flag()
        follower = self._journal.follow(response_id, 0, is_news.set)
        with turns:
            try:
                while not (follower.has_events or follower.is_finished):
                    turns.wait(is_news, _WAIT_SECONDS)
                    is_news.clear()
                return follower.take().partition(b"\n\n")[0]
            finally:
                follower.close()


class ResponseKeeper:
    """Keeps the events of one response that its own client reads; see ``Keeper``.

    create: ``Journal.create``
    about: its owner and key
    comment: what the first and the last event have besides
    """

    def __init__(
        self,
        create: Callable[[str, Callable[[str], None], About], Recorder],
        response_id: str,
        about: About,
        comment: bytes,
    ) -> None:
        self._create = create
        self._id = response_id
        self._about = about
        self._comment = comment
        self._recorder: Recorder | None = None
        self._render_abandoned: Callable[[], bytes] | None = None

    def begin(self, event: bytes, render_abandoned: Callable[[], bytes]) -> None:
        try:
            # Its client alone stops it.
            self._recorder = self._create(self._id, _ignore, self._about)
        except (JournalFullError, JournalUnavailableError) as error:
            logger.warning("a response is not kept: %s", error)
            return
        self._render_abandoned = render_abandoned
        self.add(self._comment + event)

    def add(self, event: bytes) -> None:
        if self._recorder is None:
            return
        try:
            self._recorder.append(event)
        except JournalLostError as error:
            logger.warning("a response is not kept to its end: %s", error)
            self._recorder = None

    def end(self, event: bytes) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.finish(self._comment + event)

    def close(self) -> None:
        """Mark a response that has not ended as cancelled: its client has left, or its connection broke."""
        if self._recorder is not None and self._render_abandoned is not None:
            self.end(self._render_abandoned())


def with_input(items: Items) -> bytes:
    """Return the comment in which an event has the input."""
    return b": " + encode({"input": items}) + b"\n"


def unknown_response(response_id: str) -> ApiError:
    """Return the refusal of a request for a response that is not there."""
    shown = response_id[:_MAX_SHOWN_CHARACTERS]
    return ApiError(404, "not_found", f"Response with id '{shown}' not found.")


def _read(response_id: str, event: bytes, *, is_running: bool) -> KeptResponse | None:
    """Return the response that an event contains; None: it contains none."""
    items: Items = []
    response = b"null"
    for line in event.split(b"\n"):
        if line.startswith(_INPUT):
            items = msgspec.json.decode(line[2:], type=_Comment).input
        elif line.startswith(_DATA):
            response = bytes(msgspec.json.decode(line[len(_DATA) :], type=_Event).response)
    if response == b"null":
        return None
    output = msgspec.json.decode(response, type=_Output).output
    return KeptResponse(
        response_id, msgspec.json.decode(response), output, items, is_running=is_running
    )


def _without_beginning(response_id: str, about: About) -> KeptResponse:
    """Return what is known of a running response whose first event is gone."""
    response = {
        "id": response_id,
        "object": "response",
        "created_at": int(about.created_at),
        "error": None,
        "incomplete_details": None,
        "model": None,
        "output": [],
        "usage": None,
    }
    return KeptResponse(response_id, response, [], [], is_running=True)


def _ignore(reason: str) -> None:
    """Go on: nothing but its client's leaving ends it."""
