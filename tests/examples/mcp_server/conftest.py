"""The MCP server in examples/mcp, in this process."""

import importlib.util
import sys
from types import ModuleType

import pytest
from flask.testing import FlaskClient

from tests.support.server import ROOT

FOLDER = ROOT / "examples/mcp"


@pytest.fixture
def example(monkeypatch) -> ModuleType:
    """The example's app.py, not as `app`, which others are too."""
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("mcp_example", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mcp_example", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(example) -> FlaskClient:
    return example.app.test_client()
