"""The module that shadows any package named wsgi."""

from app import app

application = app
