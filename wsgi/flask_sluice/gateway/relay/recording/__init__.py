"""Writes what the relay's upstreams answer to files, for tests that play it back."""
