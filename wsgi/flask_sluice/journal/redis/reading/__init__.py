"""The streams of other processes that this one has readers of."""
