"""A real Chromium, Debian's, and tabs in which a warning or an error of the browser fails the test."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

ARGUMENTS = [
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


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Start Chromium; skip the test where it is not installed. asyncio.run() fails while it runs."""
    chromium = shutil.which("chromium")
    if chromium is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("Chromium is not installed; tests/install-system-packages installs it")
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def open_tab(
    browser: Browser, expected_complaints: Sequence[str] = (), **profile_options: Any
) -> Iterator[Page]:
    """Open an empty tab in a profile of its own.

    expected_complaints: how messages of the browser begin that do not fail the test
    profile_options: the profile's, as Playwright names them
    """
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
    unexpected = [text for text in complaints if not text.startswith(tuple(expected_complaints))]
    assert not unexpected, f"the browser complained: {unexpected}"
