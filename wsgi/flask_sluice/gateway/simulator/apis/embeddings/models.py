"""The embedding models of OpenAI, and how long their vectors are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model.

    dimensions: of its vectors
    can_shorten: whether a request may ask for fewer
    """

    dimensions: int
    can_shorten: bool = True


_MODELS = {
    "text-embedding-3-small": EmbeddingModel(1536),
    "text-embedding-3-large": EmbeddingModel(3072),
    "text-embedding-ada-002": EmbeddingModel(1536, can_shorten=False),
}
_OTHER = EmbeddingModel(1536)


def embedding_model(name: str) -> EmbeddingModel:
    """Return what a model can do; one that is not OpenAI's is taken for one like text-embedding-3-small."""
    return _MODELS.get(name.rpartition("/")[2], _OTHER)
