"""Ollama's API: chats, completions and embeddings."""
