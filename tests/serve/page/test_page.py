"""The page in Chromium: all that a person does with it, errors, tokens, an empty index and a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...support.helpers import opened
from ...support.served import running
from . import flows
from .browser import PHONE, Tab, missing, started

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    with opened(folder / "index") as made:
        flows.fill(made, folder)
    return folder / "index"


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    with running(index) as server:
        yield server.url


@pytest.mark.parametrize("flow", flows.FLOWS)
@pytest.mark.parametrize("look", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_a_person_can_use_it(browser: Any, url: str, flow: str, look: str) -> None:
    tab = Tab(browser, url, color_scheme=look)
    flows.FLOWS[flow](tab)
    tab.close()


@pytest.mark.parametrize("look", ["light", "dark"])
def test_it_fits_on_a_phone(browser: Any, url: str, look: str) -> None:
    tab = Tab(browser, url, viewport=PHONE, color_scheme=look)
    flows.fits(tab)
    tab.close()


def test_it_asks_for_a_token_and_keeps_it_for_the_tab_alone(browser: Any, index: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text(TOKEN)
    with running(index, "--token-file", str(tmp_path / "tokens.txt")) as server:
        tab = Tab(browser, server.url)
        tab.page.wait_for_selector("#token-dialog[open]")
        tab.check_access()
        tab.page.fill("#token", "wrong")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("text=does not accept this token")
        tab.page.fill("#token", TOKEN)
        tab.page.keyboard.press("Enter")
        tab.wait_for_hits(20)
        tab.page.reload()
        tab.wait_for_hits(20)
        assert not any(TOKEN in url for url in [tab.page.url, *tab.requests])
        tab.open().wait_for_selector("#token-dialog[open]")
        tab.close()


def test_it_says_that_the_server_is_gone_and_goes_on_once_it_is_back(browser: Any, index: Path) -> None:
    with running(index) as server:
        tab = Tab(browser, server.url)
        tab.search("bread", 10)
        assert server.stop() == 0
        tab.page.fill("#query", "bread and")
        tab.page.wait_for_selector("#problem:not([hidden])")
        assert "The server does not answer." in tab.page.inner_text("#problem")
        assert tab.page.inner_text("#health") == "no answer"
        tab.check_access()
    with running(index, "--port", str(server.port)):
        tab.wait_for_hits(10)
        assert not tab.page.is_visible("#problem")
        assert tab.page.input_value("#query") == "bread and"
        tab.close()


def test_an_empty_index_says_how_to_fill_it(browser: Any, tmp_path: Path) -> None:
    with running(tmp_path / "none", "--create") as server:
        tab = Tab(browser, server.url)
        tab.page.wait_for_selector("text=The index is empty")
        assert f"vecindex add --index {tmp_path / 'none'}" in tab.said()
        tab.check_access()
        tab.page.click("nav >> text=Index")
        tab.page.wait_for_selector("text=The first text that is added decides the model.")
        tab.close()
