"""Servers of the language model APIs, without a model: for the demo page, for tests, and for building clients against."""
