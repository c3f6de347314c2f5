"""The routes: Flask blueprints."""
