"""The JSON of OpenAI's moderations."""

import uuid
from collections.abc import Iterator

from msgspec import Struct

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.documents import DocumentFormat
from flask_sluice.gateway.simulator.apis.format import encode_json
from flask_sluice.gateway.simulator.apis.moderations.judging import flagged_categories, result_of
from flask_sluice.stream.loop.give_way import give_way, heavy_work

DEFAULT_MODEL = "omni-moderation-latest"
_FEW_CHARACTERS = 10_000
_JUDGED_AT_ONCE = 50


class Input(Struct):
    """What has one result."""

    texts: list[str]
    has_image: bool = False


class ModerationsFormat(DocumentFormat):
    """Writes the results, which are decided when it is made."""

    def __init__(self, asked: Asked, answer: Answer, inputs: list[Input]) -> None:
        super().__init__(asked, answer)
        self._inputs = inputs
        self._id = f"modr-{uuid.uuid4().hex}"
        if asked.prompt_length <= _FEW_CHARACTERS and len(inputs) <= _JUDGED_AT_ONCE:
            self._flagged = [flagged_categories(each.texts) for each in inputs]
        else:
            with heavy_work():
                self._flagged = [*self._judge_many()]

    def whole_in_pieces(self) -> Iterator[bytes]:
        yield encode_json({"id": self._id, "model": self._told_model})[:-1] + b',"results":['
        for place, (each, flagged) in enumerate(zip(self._inputs, self._flagged, strict=True)):
            result = result_of(each.texts, flagged, has_image=each.has_image)
            yield (b"," if place else b"") + encode_json(result)
        yield b"]}"

    @property
    def _told_model(self) -> str:
        """The model's true name, where the one that was asked for stands for the latest."""
        name = self.asked.model
        return "omni-moderation-2024-09-26" if name == DEFAULT_MODEL else name

    def _judge_many(self) -> Iterator[set[str]]:
        for place, each in enumerate(self._inputs):
            yield flagged_categories(each.texts)
            if place % _JUDGED_AT_ONCE == 0:
                give_way()
