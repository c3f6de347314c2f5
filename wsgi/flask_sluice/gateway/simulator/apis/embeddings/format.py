"""The JSON of OpenAI's embeddings."""

import base64
import sys
from collections.abc import Iterator, Sequence

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.documents import DocumentFormat
from flask_sluice.gateway.simulator.apis.embeddings.vectors import vector_of
from flask_sluice.gateway.simulator.apis.format import encode_json


class EmbeddingsFormat(DocumentFormat):
    """Writes the list of vectors, each of which is made when it is to be sent.

    items: the texts or token ids
    dimensions: of the vectors
    is_base64: whether a vector is the base64 of its little-endian numbers of 32 bits, not a list
    """

    def __init__(
        self,
        asked: Asked,
        answer: Answer,
        *,
        items: Sequence[str | list[int]],
        dimensions: int,
        is_base64: bool,
    ) -> None:
        super().__init__(asked, answer)
        self._items = items
        self._dimensions = dimensions
        self._is_base64 = is_base64

    def whole_in_pieces(self) -> Iterator[bytes]:
        before = b'{"object":"list","data":['
        for index, item in enumerate(self._items):
            embedding = {
                "object": "embedding",
                "index": index,
                "embedding": self._vector(item),
            }
            yield before + encode_json(embedding)
            before = b","
        tokens = self.answer.usage.prompt
        end = {
            "model": self.asked.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        yield b"]," + encode_json(end)[1:]

    def _vector(self, item: str | list[int]) -> str | list[float]:
        vector = vector_of(item, self._dimensions)
        if not self._is_base64:
            return vector.tolist()
        if sys.byteorder == "big":
            vector.byteswap()
        return base64.b64encode(vector).decode()
