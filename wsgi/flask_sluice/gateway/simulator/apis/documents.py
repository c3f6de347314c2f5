"""What the APIs have in common whose answer is one document without tokens: embeddings, moderations.

Their time to first token and their faults are those of an answer without tokens.
"""

from collections.abc import Iterator, Sequence

from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.format import Format
from flask_sluice.gateway.simulator.options import SimulatorOptions

_NOTHING = SimulatorOptions(text="")


def asked_about(model: str, texts: Sequence[str], more_tokens: int = 0) -> Asked:
    """Return what is asked for by a request about these texts.

    more_tokens: those that are given in another form than as text
    """
    # A token begins with the space before it, so this one adds none.
    prompt = " ".join(texts)
    return Asked(
        model=model,
        options=_NOTHING,
        is_stream=False,
        questions=[""],
        prompt_text=prompt,
        prompt_length=len(prompt),
        more_prompt_tokens=more_tokens,
    )


class DocumentFormat(Format):
    """Writes a document that has no tokens, and is never streamed."""

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        raise AssertionError("an answer without tokens has no events")

    def whole(self) -> bytes:
        return b"".join(self.whole_in_pieces())
