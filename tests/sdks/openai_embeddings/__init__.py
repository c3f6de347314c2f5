"""OpenAI's clients ask for embeddings and moderations."""
