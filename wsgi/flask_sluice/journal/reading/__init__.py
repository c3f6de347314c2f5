"""How a reader's response gets the events of a stream that is kept."""
