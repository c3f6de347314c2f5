"""Scenarios: what the simulator answers to which request, from a file or as a test sets it."""
