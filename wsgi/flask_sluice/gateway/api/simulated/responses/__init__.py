"""The routes of OpenAI's Responses API, and the responses that are kept."""
