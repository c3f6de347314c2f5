"""Google's clients of Gemini."""
