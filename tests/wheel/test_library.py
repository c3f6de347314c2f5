"""This repository's tests of the library, run with the installed wheel."""

import re
from pathlib import Path

import pytest

from tests.wheel.environments import TIMEOUT_SECONDS

LIBRARY = re.compile(
    r"flask_sluice(\.(sse|stream|journal|channels|client|observe|testing)\b| import .*\bsse_response\b)"
)
# These read the sources or the documentation, which are not there.
READS_SOURCES = re.compile(r"\bROOT\b|tests\.support\.readme")
# These ask others about the simulator's answers: packages that an app which streams does not have.
ASKS_OTHERS = re.compile(
    r"^(?:from|import) (?:anthropic|jsonschema|openapi_spec_validator|pydantic)\b", re.MULTILINE
)


@pytest.mark.oldest_and_newest
def test_the_librarys_tests_pass(environment, tree):
    files = unit_tests(tree)
    assert len(files) >= 10
    result = environment.run(
        *("python", "-m", "pytest", "-q", "-m", "not measures and not slow", "tests/client"),
        *(file.relative_to(tree).as_posix() for file in files),
        folder=tree,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr


def unit_tests(tree: Path) -> list[Path]:
    """Return the files of unit tests that use the library; those left test only the gateway, or the sources."""
    found = []
    for path in sorted(tree.glob("tests/unit/test_*.py")):
        text = path.read_text()
        if LIBRARY.search(text) and not (READS_SOURCES.search(text) or ASKS_OTHERS.search(text)):
            found.append(path)
    return found
