"""Where answers come from."""

from wsgi.engines.engine import Context, Engine
from wsgi.engines.exchange import UpstreamRequest
from wsgi.engines.relay import Relay
from wsgi.engines.simulator import Simulator
from wsgi.engines.upstream import Upstream, Upstreams

__all__ = [
    "Context",
    "Engine",
    "Relay",
    "Simulator",
    "Upstream",
    "UpstreamRequest",
    "Upstreams",
]
