"""The official clients in front of a relay: each sees what it would see from the upstream itself."""
