"""How the events of a stream that is kept are made, whether or not it has readers."""
