"""The gateway as a WSGI application, configured by the environment."""

from flask_sluice.gateway.app import create_app

app = create_app()
