"""The connection to the client: how a stream writes to it, and how it sees the client leave."""
