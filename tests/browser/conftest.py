"""The demo page in a real Chromium. A warning or an error of the browser fails the test."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.demo_page import DemoPage
from tests.support.server import Server

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    # A name of another site, for pages of such a site and for DNS rebinding.
    "--host-resolver-rules=MAP another-site.test 127.0.0.1",
]
# An answer in these tests takes at most two seconds; the rest is for slow machines.
TIMEOUT_MS = 30_000


# The scope is the package, because asyncio.run() of other tests fails while Playwright's event loop exists.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("Chromium is not installed; tests/install-system-packages installs it")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


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
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # The errors include violations of the content security policy.
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    with browser.new_context(**profile_options) as context:
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        page.on("crash", lambda _: complaints.append("the tab crashed"))
        yield page
    assert [text for text in complaints if not text.startswith(tuple(expected_complaints))] == []


@pytest.fixture
def demo(page: Page, sluice: Server) -> DemoPage:
    """Return the loaded demo page."""
    return DemoPage(page, sluice)
