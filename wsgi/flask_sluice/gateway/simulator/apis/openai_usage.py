"""The usage of an answer as OpenAI's chat completions and text completions tell it."""

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.apis.format import Json


def usage_of(answer: Answer) -> Json:
    """Return the value of ``usage``, with the tokens of all choices together."""
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
