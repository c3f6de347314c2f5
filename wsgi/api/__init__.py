"""The routes: Flask blueprints. What they share with a stream is passed in, never Flask's context."""
