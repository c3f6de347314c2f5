"""Scenarios: rules, in a file or set by a test, that say how the simulator answers which request."""
