"""One HTTP request on a connection of its own, and when each byte of its answer arrived."""
