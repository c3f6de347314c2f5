"""OpenAI's client for Node asks for embeddings and moderations."""

from tests.sdks.node_tests import run_node_tests


def test_nodes_client_reads_embeddings_and_moderations(sluice):
    run_node_tests("openai-embeddings.mjs", sluice.url)
