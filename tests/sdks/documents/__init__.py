"""The published OpenAPI documents of OpenAI and Anthropic, as JSON Schemas of what a server sends and takes."""
