"""How a connection is let in: its login, and its certificates."""
