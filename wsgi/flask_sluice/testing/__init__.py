"""For the tests of apps that stream: reads the events of a view, and simulates a language model server for its client.

``read_events`` and ``open_stream`` take Flask's test client, ``simulated_llm`` starts a server. They need no test framework;
under pytest, the fixtures ``sse`` and ``llm`` do the same. The project's conftest.py takes them over:

    pytest_plugins = ["flask_sluice.testing"]
"""

from flask_sluice.testing.llm.simulated_llm import SeenRequest, SimulatedLLM, simulated_llm
from flask_sluice.testing.streams import SeenEvent, StreamReader, open_stream, read_events

__all__ = [
    "SeenEvent",
    "SeenRequest",
    "SimulatedLLM",
    "StreamReader",
    "open_stream",
    "read_events",
    "simulated_llm",
]

try:
    import pytest  # noqa: F401
except ImportError:
    pass  # The functions above need no test framework.
else:
    from flask_sluice.testing.fixtures import llm, llm_process, sse

    __all__ += ["llm", "llm_process", "sse"]
