"""OpenAI's embeddings, and the vectors of all APIs' embeddings."""
