"""Channels in Redis, for several processes and hosts."""
