"""The bodies of POST /api/embed and, as it was before, /api/embeddings, and the JSON of their answers."""

import time
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.documents import DocumentFormat, asked_about
from flask_sluice.gateway.simulator.apis.embeddings.vectors import vector_of
from flask_sluice.gateway.simulator.apis.format import encode_json
from flask_sluice.gateway.simulator.apis.ollama.fields import ModelOptions
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.options import SimulatorOptions

_DIMENSIONS = 768
_MAX_INPUTS = 2048


class EmbedFormat(DocumentFormat):
    """Writes a vector for each text, which is made when it is to be sent."""

    def __init__(self, asked: Asked, answer: Answer, texts: list[str], dimensions: int) -> None:
        super().__init__(asked, answer)
        self._texts = texts
        self._dimensions = dimensions
        self._began_at = time.monotonic_ns()

    def whole_in_pieces(self) -> Iterator[bytes]:
        yield encode_json({"model": self.asked.model})[:-1] + b',"embeddings":['
        for place, text in enumerate(self._texts):
            vector = encode_json(vector_of(text, self._dimensions).tolist())
            yield (b"," if place else b"") + vector
        end = {
            "total_duration": max(1, time.monotonic_ns() - self._began_at),
            "load_duration": 1,
            "prompt_eval_count": self.answer.usage.prompt,
        }
        yield b"]," + encode_json(end)[1:]


class OneEmbeddingFormat(DocumentFormat):
    """Writes one vector; none where there is no text."""

    def __init__(self, asked: Asked, answer: Answer, text: str) -> None:
        super().__init__(asked, answer)
        self._text = text

    def whole_in_pieces(self) -> Iterator[bytes]:
        vector = vector_of(self._text, _DIMENSIONS).tolist() if self._text else []
        yield encode_json({"embedding": vector})


class _VectorRequest(ApiRequest, kw_only=True):
    options: ModelOptions | None = None
    keep_alive: float | str | None = None

    def __post_init__(self) -> None:
        # The answer is a document, whatever the request says.
        self.stream = False
        if self.simulator is None and self.options is not None:
            self.simulator = self.options.simulator


class OllamaEmbedRequest(_VectorRequest, kw_only=True):
    """One or more texts, of which each becomes a vector."""

    input: str | Annotated[list[str], Meta(max_length=_MAX_INPUTS)] | None = None
    truncate: bool | None = None
    dimensions: Annotated[int, Meta(ge=0)] | None = None

    format_type = EmbedFormat

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for."""
        return asked_about(self.model, self._texts())

    def format(self, asked: Asked, answer: Answer) -> EmbedFormat:
        """Return what writes the answer."""
        # Ollama only ever cuts a vector, so more than there are is all.
        dimensions = min(self.dimensions or _DIMENSIONS, _DIMENSIONS)
        return EmbedFormat(asked, answer, self._texts(), dimensions)

    def _texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) and self.input else [*(self.input or ())]


class OllamaEmbeddingsRequest(_VectorRequest, kw_only=True):
    """One text that becomes a vector."""

    prompt: str | None = None

    format_type = OneEmbeddingFormat

    def asked(self, options: SimulatorOptions) -> Asked:
        """Return what is asked for."""
        return asked_about(self.model, [self.prompt] if self.prompt else [])

    def format(self, asked: Asked, answer: Answer) -> OneEmbeddingFormat:
        """Return what writes the answer."""
        return OneEmbeddingFormat(asked, answer, self.prompt or "")
