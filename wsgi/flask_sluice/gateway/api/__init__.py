"""The routes, as Flask blueprints."""
