"""The README's examples."""

import re

from tests.support.server import ROOT

README = (ROOT / "README.md").read_text()


def example(language: str, mark: str) -> str:
    """The one code block in ``language`` that contains ``mark``."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (block,) = [block for block in blocks if mark in block]
    return block
