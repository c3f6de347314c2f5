"""Which tools an answer calls, and with what arguments."""

from flask_sluice.gateway.simulator.answers.answer import Part
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.answers.texts import Question


def tool_calls(asked: Asked, question: Question, seed: int) -> list[Part]:
    """Return the calls with which the model answers, none where it answers with text."""
    return []
