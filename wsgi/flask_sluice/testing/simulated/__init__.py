"""Starts the simulator of a model server for tests, tells it what to answer, and asks it what it was sent."""
