"""LangChain's standard tests of chat models, for its models of OpenAI and Anthropic at the URL in SIMULATOR_URL.

test_langchain.py runs them with a Python that has the packages.
"""

import os

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

URL = os.environ["SIMULATOR_URL"]
COMMON = {"api_key": "none", "max_retries": 0}
QUICK = {"simulator": {"itl_ms": 0, "ttft_ms": 0}}


class _OpenAITests(ChatModelIntegrationTests):
    chat_model_class = ChatOpenAI
    supports_json_mode = True


class TestChat(_OpenAITests):
    chat_model_params = {  # noqa: RUF012 (the suite reads it as an attribute of the class)
        "model": "gpt-5",
        "base_url": f"{URL}/v1",
        "stream_usage": True,
        "extra_body": QUICK,
        **COMMON,
    }


class TestResponses(_OpenAITests):
    chat_model_params = {  # noqa: RUF012
        "model": "gpt-5",
        "base_url": f"{URL}/v1",
        "use_responses_api": True,
        "extra_body": QUICK,
        **COMMON,
    }


class TestMessages(ChatModelIntegrationTests):
    chat_model_class = ChatAnthropic
    chat_model_params = {  # noqa: RUF012
        "model": "claude-sonnet-4-5",
        "base_url": URL,
        "model_kwargs": {"extra_body": QUICK},
        **COMMON,
    }
