"""Anthropic's client for Node against the simulator."""

from tests.sdks.node_tests import run_node_tests


def test_anthropics_client_for_node(sluice):
    run_node_tests("anthropic.test.mjs", sluice.url)
