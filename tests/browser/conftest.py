"""The demo page in a real Chromium. A warning or an error of the browser fails the test."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.demo_page import DemoPage
from tests.support.chromium import open_tab, running_browser
from tests.support.server import Server


# The scope is the package, because asyncio.run() of other tests fails while Playwright's event loop exists.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def expected_complaints() -> list[str]:
    """How expected complaints of the browser begin; tests that provoke some override it."""
    return []


@pytest.fixture
def profile_options() -> dict[str, Any]:
    """Further options of the browser's profile; tests that need some override it."""
    return {}


@pytest.fixture
def page(
    browser: Browser, profile_options: dict[str, Any], expected_complaints: list[str]
) -> Iterator[Page]:
    """Yields an empty tab in its own profile."""
    with open_tab(browser, expected_complaints, **profile_options) as page:
        yield page


@pytest.fixture
def demo(page: Page, sluice: Server) -> DemoPage:
    """Return the loaded demo page."""
    return DemoPage(page, sluice)
