"""The libraries that people read streams with: each must see the events, and nothing of the comments between them."""
