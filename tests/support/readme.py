"""The examples of the README, and of deploy/README.md."""

import re

from tests.support.server import ROOT

README = (ROOT / "README.md").read_text()
DEPLOY_README = (ROOT / "deploy/README.md").read_text()


def example(language: str, mark: str, text: str = README) -> str:
    """The one code block in ``language`` that contains ``mark``."""
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (block,) = [block for block in blocks if mark in block]
    return block
