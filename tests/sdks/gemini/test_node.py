"""Google's client for Node, @google/genai, against the simulator."""

from tests.sdks.node_tests import run_node_tests


def test_nodes_client_of_gemini_reads_what_the_simulator_answers(sluice):
    run_node_tests("gemini.mjs", sluice.url)
