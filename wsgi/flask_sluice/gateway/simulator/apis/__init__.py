"""The APIs that the simulator speaks: for each, what requests it takes and how it writes an answer."""
