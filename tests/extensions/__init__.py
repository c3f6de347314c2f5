"""Middleware and extensions that Flask apps have around their views: a stream passes through each as it would without it."""
