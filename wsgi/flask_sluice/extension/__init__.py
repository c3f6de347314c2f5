"""``Sluice``: the streams and channels of a Flask app."""
