"""OpenAI's clients."""
