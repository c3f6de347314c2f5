"""A browser for the examples with a page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import running_browser


# The scope is the module, because asyncio.run() of other tests fails while Playwright's event loop exists.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser
