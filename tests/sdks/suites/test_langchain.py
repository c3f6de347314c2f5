"""LangChain's standard tests judge the simulator through LangChain's models of OpenAI and Anthropic."""

import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.examples.installed import python_with
from tests.support.server import clean_environment, without_proxies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SUITE = Path(__file__).with_name("langchain_suite.py")
PACKAGES = ("langchain-tests==1.1.9", "langchain-openai==1.7.4", "langchain-anthropic==1.7.10")
# LangChain's models keep one asynchronous client for all tests, so that one event loop must serve them all.
OPTIONS = ("asyncio_mode=auto", "asyncio_default_test_loop_scope=session")

_JSON_OF_PROSE = "the question names the keys in prose, which the simulator does not understand"
NOT_LIKE_THE_REAL_API = {
    ("TestChat", "test_json_mode"): _JSON_OF_PROSE,
    ("TestResponses", "test_json_mode"): _JSON_OF_PROSE,
}


def test_langchains_standard_tests_pass_but_for_those_named(sluice, tmp_path):
    python = python_with(*PACKAGES)
    results = tmp_path / "results.xml"
    # Neither the project's settings of pytest nor its cache are for this run.
    pytest_ = (
        python,
        "-m",
        "pytest",
        "-q",
        "--tb=short",
        "-c",
        os.devnull,
        "-p",
        "no:cacheprovider",
    )
    options = [part for option in OPTIONS for part in ("-o", option)]
    run = subprocess.run(
        [*pytest_, *options, f"--junit-xml={results}", SUITE],
        cwd=tmp_path,
        env={**without_proxies(clean_environment()), "SIMULATOR_URL": sluice.url},
        capture_output=True,
        text=True,
        check=False,
    )
    # pytest's status: 0 where all passed, 1 where some failed.
    assert run.returncode in (0, 1), run.stdout + run.stderr
    cases = list(ET.parse(results).iter("testcase"))
    failed = {
        (case.get("classname", "").rpartition(".")[2], case.get("name", ""))
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    assert failed <= NOT_LIKE_THE_REAL_API.keys(), run.stdout
    ran = [case for case in cases if case.find("skipped") is None]
    assert len(ran) > 100, run.stdout
