"""An OpenAI-compatible server without a model: for the demo page, for tests, and for building clients against."""
