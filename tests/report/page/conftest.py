"""A headless Chromium for the tests of the page, one for all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.page.samples import sample_page

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def _unavailable(why: str) -> None:
    message = f"the page needs a browser: {why}. `make test` installs Chromium (Debian: apt-get install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser with a new profile; ``ALIGN_EVAL_CHROMIUM`` names its program, otherwise it is found by name."""
    named = os.environ.get("ALIGN_EVAL_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = named or next((path for path in map(shutil.which, names) if path), None)
    if program is None:
        _unavailable(f"none of {', '.join(names)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _unavailable("the package playwright is not installed")
    with sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=program, headless=True, args=list(FLAGS),
            color_scheme="light", viewport={"width": 1200, "height": 900}, accept_downloads=True,
        )  # fmt: skip
        context.set_default_timeout(60_000)
        yield context
        context.close()


class Screen:
    """A page in the browser, watched: whatever it logs and whatever it asks for is kept."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page = page
        self.file = file
        self.logged: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.logged.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.logged.append(f"error: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, hash_: str = "") -> Screen:
        """Load the file anew, at an address within it."""
        self.page.goto("about:blank")
        self.page.goto(self.file.as_uri() + hash_)
        self.page.wait_for_selector("body[data-drawn]")
        return self

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate("() => new Promise(done => setTimeout(() => requestAnimationFrame(() => done()), 60))")

    def press(self, *keys: str) -> None:
        """Press keys one after another."""
        for key in keys:
            self.page.keyboard.press(key)
            self.settle()

    def click(self, selector: str) -> None:
        """Click and wait."""
        self.page.click(selector)
        self.settle()

    def hover(self, row: int, column: int) -> dict[str, str]:
        """Move the mouse onto a cell of the map; what the card says of it, its value under ``value``."""
        frame = self.page.locator("#map-frame")
        frame.scroll_into_view_if_needed()
        place = frame.evaluate("e => [e.dataset.left, e.dataset.top, e.dataset.cell].map(Number)")
        box = frame.bounding_box()
        self.page.mouse.move(
            box["x"] + place[0] + (column + 0.5) * place[2], box["y"] + place[1] + (row + 0.5) * place[2]
        )
        return self.card()

    def card(self) -> dict[str, str]:
        """What the card says."""
        assert self.page.is_visible("#card")
        facts = self.page.eval_on_selector_all("#card dd", "all => all.map(e => [e.dataset.fact, e.textContent])")
        return {"value": self.page.text_content("#card-value"), **dict(facts)}

    def hash(self) -> str:
        """The address within the file."""
        return str(self.page.evaluate("() => location.hash"))


@pytest.fixture(scope="session")
def _screen(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    file = tmp_path_factory.mktemp("page") / "sample page.html"
    sample_page().write(file)
    page = chromium.new_page()
    yield Screen(page, file)
    page.close()


@pytest.fixture
def screen(_screen: Screen) -> Iterator[Screen]:
    """The sample page. When a test ends, nothing may have been logged and nothing asked for but the file itself."""
    _screen.logged.clear()
    _screen.requests.clear()
    yield _screen
    assert _screen.logged == []
    outside = [u for u in _screen.requests if not u.startswith(("file:", "data:", "blob:", "about:"))]
    assert outside == []
