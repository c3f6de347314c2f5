"""Tests of the built wheel, installed into environments of their own: ``make test-pythons``."""
