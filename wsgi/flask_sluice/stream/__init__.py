"""A generator becomes a response body that behaves: ``responses.sse_response``."""
