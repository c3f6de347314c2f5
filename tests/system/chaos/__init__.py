"""A chaos run: readers keep accounts while everything around them fails, and at the end all books have to agree."""
