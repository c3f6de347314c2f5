"""Sluice: token-by-token streaming from ordinary WSGI."""
