"""The examples of the README and of the pages in docs/."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.support.server import ROOT

README = (ROOT / "README.md").read_text()
DEPLOYMENT = (ROOT / "docs/deployment.md").read_text()
"""Its commands are for a host of their own: tests/system/test_fresh_debian.py runs them."""
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
SIMULATOR = (ROOT / "docs/simulator.md").read_text()
PAGES_OF_EXTENSION = ("docs/channels.md", "docs/from-flask-sse.md", "docs/kept-streams.md")
"""tests/server/test_readme_extension.py runs their examples in Python."""


class Example(NamedTuple):
    """A code block. page: the path of its file; number: which of that page's blocks in the language it is."""

    page: str
    language: str
    number: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}, {self.language} {self.number}"


def pages() -> list[Path]:
    """Return the paths of all that is written for users and contributors."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def examples(language: str) -> list[Example]:
    """Return the code blocks of the README and of docs/ in the language; one that two pages have, only once."""
    found: dict[str, Example] = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if page.name == "deployment.md":
            continue
        name = str(page.relative_to(ROOT))
        for number, code in enumerate(code_blocks(language, page.read_text()), 1):
            found.setdefault(code, Example(name, language, number, code))
    return list(found.values())


def code_blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def example(language: str, mark: str, text: str = README) -> str:
    """Return the one code block in ``language`` that contains ``mark``."""
    (block,) = [block for block in code_blocks(language, text) if mark in block]
    return block
