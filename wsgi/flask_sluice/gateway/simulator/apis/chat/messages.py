"""The messages of a conversation: what each may hold, and in which order they may come."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.apis.openai_errors import (
    check_name,
    invalid,
    missing_field,
    too_long,
    unknown_value,
    wrong_pattern,
)
from flask_sluice.gateway.simulator.apis.openai_media import (
    IMAGE_TYPES,
    audio_tokens,
    file_tokens,
    image_tokens,
    is_base64,
)
from flask_sluice.gateway.simulator.bounds import MAX_PARTS

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PART_TYPES = ("text", "image_url", "input_audio", "refusal", "audio", "file")
_DETAILS = ("auto", "low", "high")
_AUDIO_FORMATS = ("wav", "mp3")
_SPEAKER = re.compile(r"[^\s<|\\/>]+")
_MAX_NAME_CHARACTERS = 64
_MAX_SHOWN_CALLS = 10


class ImageUrl(Struct, gc=False):
    url: str
    detail: str | None = None


class InputAudio(Struct, gc=False):
    data: str
    format: str


class FilePart(Struct, gc=False):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class ContentPart(Struct, gc=False):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: FilePart | None = None

    @property
    def tokens(self) -> int:
        """How many it has beside those of its text."""
        if self.image_url is not None:
            return image_tokens(self.image_url.url, self.image_url.detail)
        if self.input_audio is not None:
            return audio_tokens(self.input_audio.data, self.input_audio.format)
        return file_tokens(self.file.file_data) if self.file is not None else 0


class CalledFunction(Struct, gc=False):
    name: str
    arguments: str


class CalledCustom(Struct, gc=False):
    name: str
    input: str


class ToolCall(Struct, gc=False):
    id: str
    type: str
    function: CalledFunction | None = None
    custom: CalledCustom | None = None

    def text(self) -> str:
        if self.function is not None:
            return f"{self.function.name} {self.function.arguments}"
        return f"{self.custom.name} {self.custom.input}" if self.custom is not None else ""


class AudioReference(Struct, gc=False):
    id: str


class Message(Struct):
    role: str
    content: str | Annotated[list[ContentPart], Meta(max_length=MAX_PARTS)] | None = None
    name: str | None = None
    refusal: str | None = None
    audio: AudioReference | None = None
    tool_calls: Annotated[list[ToolCall], Meta(min_length=1, max_length=MAX_PARTS)] | None = None
    function_call: CalledFunction | None = None
    tool_call_id: str | None = None

    def text(self) -> str:
        """Return all that the model reads of it: its content, and the calls that it makes."""
        if isinstance(self.content, str) and self.tool_calls is None:
            return self.content
        return " ".join(self._texts())

    def _texts(self) -> Iterator[str]:
        if isinstance(self.content, str):
            yield self.content
        for part in self.parts:
            yield part.text or part.refusal or ""
        for call in self.tool_calls or ():
            yield call.text()
        if self.function_call is not None:
            yield f"{self.function_call.name} {self.function_call.arguments}"

    @property
    def parts(self) -> list[ContentPart]:
        return self.content if isinstance(self.content, list) else []


def check_messages(messages: Sequence[Message]) -> None:
    """Raise ApiError 400 for the first message that OpenAI's API does not take where it is."""
    open_calls: dict[str, None] | None = None
    for place, message in enumerate(messages):
        path = f"messages[{place}]"
        _check_message(path, message)
        if message.role == "tool":
            _check_result(path, message, open_calls)
            assert open_calls is not None
            open_calls.pop(message.tool_call_id or "", None)
            continue
        _check_answered(path, open_calls)
        open_calls = None
        if message.role == "assistant" and message.tool_calls:
            open_calls = _calls(path, message.tool_calls)
    _check_answered(f"messages[{len(messages) - 1}]", open_calls)


def _check_message(path: str, message: Message) -> None:
    role = message.role
    if role not in ROLES:
        raise unknown_value(f"{path}.role", role, ROLES)
    if message.content is None and not _may_lack_content(message):
        message_text = "Invalid value for 'content': expected a string, got null."
        raise invalid(f"{path}.content", message_text, "invalid_request")
    if isinstance(message.content, list):
        if not message.content:
            text = f"Invalid '{path}.content': empty array. Expected an array with minimum length 1, but got an empty array instead."
            raise invalid(f"{path}.content", text, "empty_array")
        for place, part in enumerate(message.content):
            _check_part(f"{path}.content[{place}]", path, role, part)
    if role == "function":
        if message.name is None:
            text = "Missing parameter 'name': messages with role 'function' must have a 'name'."
            raise invalid(f"{path}.name", text, "invalid_request")
        check_name(f"{path}.name", message.name)
    elif message.name is not None:
        if not _SPEAKER.fullmatch(message.name):
            raise wrong_pattern(f"{path}.name", r"^[^\s<|\\/>]+$")
        if len(message.name) > _MAX_NAME_CHARACTERS:
            raise too_long(f"{path}.name", _MAX_NAME_CHARACTERS, len(message.name))


def _may_lack_content(message: Message) -> bool:
    if message.role == "function":
        return True
    substitutes = (message.tool_calls, message.function_call, message.refusal, message.audio)
    return message.role == "assistant" and any(each is not None for each in substitutes)


def _check_part(path: str, message_path: str, role: str, part: ContentPart) -> None:
    kind = part.type
    if kind not in _PART_TYPES:
        raise unknown_value(f"{path}.type", kind, _PART_TYPES)
    if kind == "text":
        if part.text is None:
            raise missing_field(f"{path}.text")
    elif kind == "refusal":
        if part.refusal is None:
            raise missing_field(f"{path}.refusal")
        if role != "assistant":
            raise unknown_value(f"{path}.type", kind, ("text", "image_url", "input_audio", "file"))
    elif role != "user":
        _refuse_media(message_path, path, role, kind)
    elif kind == "image_url":
        _check_image(f"{path}.image_url", part.image_url)
    elif kind == "input_audio":
        _check_audio(f"{path}.input_audio", part.input_audio)
    elif kind == "file":
        _check_file(f"{path}.file", part.file)
    else:
        raise unknown_value(f"{path}.type", kind, ("text", "image_url", "input_audio", "file"))


def _refuse_media(message_path: str, path: str, role: str, kind: str) -> None:
    if kind == "image_url":
        raise invalid(
            message_path,
            f"Invalid '{message_path}'. Image URLs are only allowed for messages with role 'user', "
            f"but this message with role '{role}' contains an image URL.",
        )
    supported = ("text", "refusal") if role == "assistant" else ("text",)
    raise unknown_value(f"{path}.type", kind, supported)


def _check_image(path: str, image: ImageUrl | None) -> None:
    if image is None:
        raise missing_field(path)
    if image.detail is not None and image.detail not in _DETAILS:
        raise unknown_value(f"{path}.detail", image.detail, _DETAILS)
    if image.url.startswith("data:"):
        head, _, data = image.url[:4096].partition(",")
        media_type, *parameters = head.removeprefix("data:").lower().split(";")
        if media_type not in IMAGE_TYPES:
            raise invalid(
                f"{path}.url",
                "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
                "['png', 'jpeg', 'gif', 'webp'].",
                "invalid_image_format",
            )
        if "base64" not in parameters or not is_base64(data):
            raise invalid(f"{path}.url", "Invalid base64 image_url.", "invalid_base64")
    elif not image.url.startswith(("http://", "https://")):
        raise invalid(
            f"{path}.url",
            f"Invalid '{path}.url'. Expected a valid URL, but got a value with an invalid format.",
        )


def _check_audio(path: str, audio: InputAudio | None) -> None:
    if audio is None:
        raise missing_field(path)
    if audio.format not in _AUDIO_FORMATS:
        raise unknown_value(f"{path}.format", audio.format, _AUDIO_FORMATS)
    if not is_base64(audio.data[:4096]):
        raise invalid(f"{path}.data", f"Invalid '{path}.data': expected base64.", "invalid_base64")


def _check_file(path: str, file: FilePart | None) -> None:
    if file is None:
        raise missing_field(path)
    if file.file_id is None and file.file_data is None:
        raise missing_field(f"{path}.file_id")


def _check_result(path: str, message: Message, open_calls: dict[str, None] | None) -> None:
    if message.tool_call_id is None:
        text = "Missing parameter 'tool_call_id': messages with role 'tool' must have a 'tool_call_id'."
        raise invalid(f"{path}.tool_call_id", text, "invalid_request")
    if open_calls is None:
        raise invalid(
            f"{path}.role",
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
        )
    if message.tool_call_id not in open_calls:
        raise invalid(
            f"{path}.tool_call_id",
            f"Invalid parameter: 'tool_call_id' of '{message.tool_call_id[:256]}' "
            "not found in 'tool_calls' of previous message.",
        )


def _check_answered(path: str, open_calls: dict[str, None] | None) -> None:
    if open_calls:
        ids = ", ".join([*open_calls][:_MAX_SHOWN_CALLS])
        raise invalid(
            f"{path}.role",
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
        )


def _calls(path: str, calls: Sequence[ToolCall]) -> dict[str, None]:
    """Return the ids of the calls. Raises ApiError for a call that lacks something or has an id twice."""
    ids: dict[str, None] = {}
    for place, call in enumerate(calls):
        call_path = f"{path}.tool_calls[{place}]"
        if call.type not in ("function", "custom"):
            raise unknown_value(f"{call_path}.type", call.type, ("function", "custom"))
        if (call.function if call.type == "function" else call.custom) is None:
            raise missing_field(f"{call_path}.{call.type}")
        if call.id in ids:
            text = f"Duplicate value for 'tool_call_id' of {call.id[:256]} in message{path.removeprefix('messages')}"
            raise invalid(f"{call_path}.id", text)
        ids[call.id] = None
    return ids
