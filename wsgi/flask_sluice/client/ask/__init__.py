"""The command ``sluice ask``."""

from flask_sluice.client.ask.command import ask

__all__ = ["ask"]
