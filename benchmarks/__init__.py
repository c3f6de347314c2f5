"""Measurements against peers: each prints a table from one run."""
