"""Sluice, with a way to look into its worker."""

from app import app
from tests.server.inspection import register_inspection

register_inspection(app)

__all__ = ["app"]
