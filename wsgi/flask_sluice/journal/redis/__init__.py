"""Streams that are kept in Redis, for several processes and hosts."""
