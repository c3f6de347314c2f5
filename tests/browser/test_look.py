"""The page works with a keyboard, on a phone, and in dark mode."""

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import DemoPage

pytestmark = pytest.mark.slow

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}


def test_enter_asks_from_the_keyboard(demo: DemoPage) -> None:
    demo.simulate(tokens=5)
    press = demo.page.keyboard.press
    press("Tab")
    expect(demo.question).to_be_focused()
    press("Control+A")
    demo.page.keyboard.type("Why stream?")
    press("Enter")
    demo.wait_for_state("done")


def test_shift_enter_starts_a_new_line(demo: DemoPage) -> None:
    demo.question.fill("Why")
    demo.question.press("Shift+Enter")
    demo.page.keyboard.type("stream?")
    expect(demo.question).to_have_value("Why\nstream?")
    demo.wait_for_state("idle")


def test_every_control_can_be_used_from_the_keyboard(demo: DemoPage) -> None:
    press = demo.page.keyboard.press
    press("Tab")
    press("Tab")
    press("ArrowRight")
    expect(demo.page.locator("input[value=eventsource]")).to_be_checked()
    press("Tab")
    expect(demo.ask_button).to_be_focused()
    press("Enter")
    # The pressed button is disabled now, and the button that replaces it has the focus.
    expect(demo.stop_button).to_be_focused()
    demo.wait_for_state("streaming")
    press("Enter")
    demo.wait_for_state("stopped")
    expect(demo.ask_button).to_be_focused()


def test_dark_mode_has_a_dark_background(demo: DemoPage) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        demo.page.emulate_media(color_scheme=scheme)
        red, green, blue = demo.page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        )
        lightness[scheme] = (red + green + blue) / 3
    assert lightness["dark"] < 40
    assert lightness["light"] > 220


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("light", DESKTOP, "light"),
        ("dark", DESKTOP, "dark"),
        ("phone", PHONE, "light"),
    ],
)
def test_nothing_scrolls_sideways(
    demo: DemoPage, name: str, size: Any, scheme: Literal["light", "dark"]
) -> None:
    demo.page.set_viewport_size(size)
    demo.page.emulate_media(color_scheme=scheme)
    demo.simulate(itl_ms=1)
    for question in ("And before?", "Why is " + 70 * "W" + " so wide?"):
        demo.ask(question)
        demo.wait_for_state("done")
    demo.page.click("#simulator summary")
    # The screenshot is for people, because an assertion cannot say whether the page looks good.
    demo.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
    root = demo.page.locator("html")
    assert root.evaluate("html => html.scrollWidth") <= size["width"]
