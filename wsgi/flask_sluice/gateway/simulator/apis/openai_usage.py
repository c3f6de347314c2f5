"""What OpenAI's chat completions and text completions tell of how an answer was made."""

from zlib import crc32

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


def fingerprint_of(model: str) -> str:
    """Return the value of ``system_fingerprint``: the same as long as the same seed gives the same answer."""
    return f"fp_{crc32(model.encode('utf-8', 'replace')):010x}"
