"""What the models of OpenAI can take, by their names; any other name can take what GPT-4o can, and as long an answer as there is room."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The limits of a model, in tokens.

    context: of a prompt and its answer together
    output: of an answer; None: what the context leaves
    reasons: whether it takes ``max_completion_tokens`` in place of ``max_tokens``, and one temperature only
    """

    context: int
    output: int | None = None
    reasons: bool = False


_BY_BEGINNING: Sequence[tuple[str, ModelLimits]] = (
    ("gpt-3.5-turbo-instruct", ModelLimits(4_096)),
    ("gpt-3.5-turbo", ModelLimits(16_385, 4_096)),
    ("davinci-002", ModelLimits(16_384)),
    ("babbage-002", ModelLimits(16_384)),
    ("gpt-4-32k", ModelLimits(32_768)),
    ("gpt-4-turbo", ModelLimits(128_000, 4_096)),
    ("gpt-4-1106", ModelLimits(128_000, 4_096)),
    ("gpt-4-0125", ModelLimits(128_000, 4_096)),
    ("gpt-4-vision", ModelLimits(128_000, 4_096)),
    ("gpt-4.1", ModelLimits(1_047_576, 32_768)),
    ("gpt-4.5", ModelLimits(128_000, 16_384)),
    ("gpt-4o", ModelLimits(128_000, 16_384)),
    ("chatgpt-4o", ModelLimits(128_000, 16_384)),
    ("gpt-4", ModelLimits(8_192)),
    ("gpt-5-chat", ModelLimits(128_000, 16_384)),
    ("gpt-5", ModelLimits(400_000, 128_000, reasons=True)),
    ("o1-mini", ModelLimits(128_000, 65_536, reasons=True)),
    ("o1", ModelLimits(200_000, 100_000, reasons=True)),
    ("o3", ModelLimits(200_000, 100_000, reasons=True)),
    ("o4", ModelLimits(200_000, 100_000, reasons=True)),
)
"""The first that fits counts."""
_OTHER = ModelLimits(128_000)


def limits_of(model: str) -> ModelLimits:
    """Return the limits of a model. A name may have its maker before it (``openai/gpt-4o``)."""
    name = model.rpartition("/")[2]
    for beginning, limits in _BY_BEGINNING:
        if name == beginning or name.startswith(
            (f"{beginning}-", f"{beginning}.", f"{beginning}:")
        ):
            return limits
    return _OTHER
