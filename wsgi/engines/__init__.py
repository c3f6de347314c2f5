"""Where answers come from."""

from wsgi.engines.engine import Context, Engine, PlainAnswer
from wsgi.engines.simulator import Simulator

__all__ = ["Context", "Engine", "PlainAnswer", "Simulator"]
