"""An OpenAI-compatible server without a model."""
