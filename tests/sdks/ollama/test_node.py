"""Ollama's client for Node, against the simulator."""

from tests.sdks.node_tests import run_node_tests


def test_nodes_client_of_ollama_reads_what_the_simulator_answers(sluice):
    run_node_tests("ollama.mjs", sluice.url)
