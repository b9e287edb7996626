"""Chromium, as a person would use it: a tab that notes what it asks for and what goes wrong in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 740}
SERIOUS = ("serious", "critical")


def missing() -> str | None:
    """Why no browser can be driven here, or None."""
    if any(find_spec(name) is None for name in ("playwright", "axe_playwright_python")):
        return "the extra 'page-test' is not installed: pip install 'vecindex[page-test]'"
    return None if program() else f"none of {', '.join(PROGRAMS)} is installed"


def program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def started() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page in a context of its own, at a server. Screenshots go to ``folder``, if there is one."""

    def __init__(self, browser: Any, url: str, folder: Path | None = None, **options: Any) -> None:
        self.url, self.folder, self.options = url, folder, {"viewport": WIDE, **options}
        self.context = browser.new_context(**self.options)
        self.context.set_default_timeout(20_000)
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page = self.open()

    def open(self, fragment: str = "") -> Any:
        """A further page in the same context."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self._note(message.text))
        page.goto(f"{self.url}/{fragment}")
        return page

    def _note(self, text: str) -> None:
        if "Failed to load resource" not in text:  # what the page says of that is looked at
            self.faults.append(text)

    def close(self) -> None:
        """Checks that nothing went wrong in the page, and that it asked no other server."""
        self.context.close()
        assert self.faults == [], self.faults
        assert {urlsplit(url).netloc for url in self.requests} == {urlsplit(self.url).netloc}

    def shoot(self, name: str, whole: bool = False) -> None:
        if self.folder is not None:
            self.page.screenshot(path=self.folder / f"{name}.png", full_page=whole, animations="disabled")

    def check_access(self) -> None:
        """No serious finding of axe on what is shown."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        serious = [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in SERIOUS]
        assert serious == [], serious

    # --- what is shown

    def search(self, query: str, count: int | None = None) -> None:
        """Types a query and waits for the answer to it."""
        with self.page.expect_response(lambda answer: answer.url.endswith("/v1/search")):
            self.page.fill("#query", query)
        self.settle()
        if count is not None:
            self.wait_for_hits(count)

    def settle(self) -> None:
        """Waits until the hits are those of what was asked for last."""
        self.until("!document.querySelector('#hits[aria-busy]')")

    def back(self) -> None:
        self.page.go_back()
        self.settle()

    def wait_for_hits(self, count: int) -> None:
        self.until(f"document.querySelectorAll('#hits > li').length === {count}")

    def until(self, condition: str) -> None:
        """Waits until an expression of JavaScript is true. Within the page none may be evaluated, by its policy."""
        for _ in range(400):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(condition)

    def texts(self) -> list[str]:
        found: list[str] = self.page.locator("#hits .text").all_inner_texts()
        return found

    def said(self) -> str:
        return str(self.page.inner_text("#said"))

    def focused(self, property: str = "id") -> Any:
        return self.page.evaluate(f"document.activeElement.{property}")
