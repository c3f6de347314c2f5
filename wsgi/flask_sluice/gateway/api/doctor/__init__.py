"""What helps ``sluice doctor``: reports on streams, and a stream whose pace it sets."""
