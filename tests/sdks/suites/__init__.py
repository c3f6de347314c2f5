"""Suites of other projects that judge a model server, run against the simulator."""
