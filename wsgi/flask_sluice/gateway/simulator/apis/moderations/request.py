"""The body of POST /v1/moderations."""

from collections.abc import Callable
from typing import Annotated, ClassVar, cast

import msgspec
from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis import openai_errors
from flask_sluice.gateway.simulator.apis.documents import asked_about
from flask_sluice.gateway.simulator.apis.moderations.format import (
    DEFAULT_MODEL,
    Input,
    ModerationsFormat,
)
from flask_sluice.gateway.simulator.apis.openai_errors import (
    invalid,
    missing_field,
    unknown_value,
)
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.options import Name, SimulatorOptions
from flask_sluice.stream.errors import ApiError

_MAX_INPUTS = 2048


class ImageUrl(Struct, gc=False):
    url: str


class InputPart(Struct):
    """A text or an image of one input."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None


class ModerationsRequest(ApiRequest, kw_only=True):
    """One or more texts, or texts and images of one input, that are judged."""

    model: Name = DEFAULT_MODEL
    input: str | Annotated[list[str | InputPart], Meta(min_length=1, max_length=_MAX_INPUTS)]

    format_type = ModerationsFormat
    explain: ClassVar[Callable[[bytes, msgspec.ValidationError], ApiError | None]] = staticmethod(
        openai_errors.explain
    )

    def __post_init__(self) -> None:
        # The answer is a document, whatever the request says.
        self.stream = False

    def check(self) -> None:
        """Raise ApiError 400 for parts that OpenAI's API does not take."""
        if isinstance(self.input, str):
            return
        if len({type(each) for each in self.input}) > 1:
            raise invalid("input", "'$.input' is invalid: it takes texts or parts, not both.")
        for place, part in enumerate(self.input):
            if not isinstance(part, str):
                _check_part(f"input[{place}]", part)

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for. Raises ApiError 400 as ``check`` does."""
        self.check()
        return asked_about(self.model, [text for each in self.inputs() for text in each.texts])

    def format(self, asked: Asked, answer: Answer) -> ModerationsFormat:
        """Return what writes the answer."""
        return ModerationsFormat(asked, answer, self.inputs())

    def inputs(self) -> list[Input]:
        """Return what has a result each."""
        if isinstance(self.input, str):
            return [Input([self.input])]
        if isinstance(self.input[0], str):
            return [Input([text]) for text in cast("list[str]", self.input)]
        parts = cast("list[InputPart]", self.input)
        return [
            Input(
                [part.text for part in parts if part.text is not None],
                any(part.image_url is not None for part in parts),
            )
        ]


def _check_part(path: str, part: InputPart) -> None:
    if part.type not in ("text", "image_url"):
        raise unknown_value(f"{path}.type", part.type, ("text", "image_url"))
    if part.type == "text" and part.text is None:
        raise missing_field(f"{path}.text")
    if part.type == "image_url" and part.image_url is None:
        raise missing_field(f"{path}.image_url")
