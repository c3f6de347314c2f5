"""Where a stream's events come from: a generator, a socket or a journal."""
