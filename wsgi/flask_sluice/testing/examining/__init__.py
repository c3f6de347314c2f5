"""Runs a client of language models against each fault, and tells which of them it took for success."""
