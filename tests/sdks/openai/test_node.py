"""OpenAI's Node SDK, against the simulator's chat completions."""

from tests.sdks.node_tests import run_node_tests
from tests.support.server import Server


def test_chat_completions_with_the_node_sdk(sluice: Server) -> None:
    run_node_tests("openai-chat.test.mjs", sluice.url)
