"""Whether a prompt and its answer have room in the model's context."""

from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.answers.texts import count_tokens
from flask_sluice.stream.errors import ApiError


def check_context(asked: Asked, prompt_tokens: int) -> None:
    """Raise ApiError 400 for a prompt that is too long, alone or with the longest answer that it allows.

    prompt_tokens: of all prompts together
    """
    context = asked.options.context_tokens or asked.context_tokens
    limit = asked.token_limit or 0
    if context is None or prompt_tokens + limit <= context:
        return
    if len(asked.questions) > 1:
        prompt_tokens = max(map(count_tokens, asked.questions))
        if prompt_tokens + limit <= context:
            return
    problem = _problem(asked.prompt_field, prompt_tokens, 0 if prompt_tokens > context else limit)
    raise ApiError(
        400,
        "context_length_exceeded",
        f"This model's maximum context length is {context} tokens{problem}",
        param=asked.prompt_field,
    )


def _problem(field: str, prompt: int, limit: int) -> str:
    if field != "messages":
        return (
            f", however you requested {prompt + limit} tokens ({prompt} in your {field}; {limit} for the completion). "
            f"Please reduce your {field}; or completion length."
        )
    if not limit:
        return (
            f". However, your messages resulted in {prompt} tokens. "
            "Please reduce the length of the messages."
        )
    return (
        f". However, you requested {prompt + limit} tokens ({prompt} in the messages, {limit} in the completion). "
        "Please reduce the length of the messages or completion."
    )
