"""The page in Chromium: all that a person does with it, errors, tokens, an empty index and a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import Record

from ...support.helpers import opened
from ...support.served import running
from . import flows
from .browser import PHONE, Tab, missing, started

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
TOKEN = "correct-horse-battery-staple"
ARABIC = "القطة تنام على السرير"


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
        tab.page.fill("#token", "пароль")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector("#token-dialog[open] #token:focus")
        assert tab.page.inner_text("#health") != "no answer"
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
        tab.page.click("nav >> text=Search")
        tab.page.wait_for_selector("text=The index is empty")
        with opened(tmp_path / "none") as index:
            index.add(["it rains", "my name is Aun"])
        tab.page.evaluate("window.dispatchEvent(new Event('focus'))")  # as when someone comes back from a terminal
        tab.wait_for_hits(2)
        assert tab.page.inner_text("#health") == "2 records"
        tab.close()


def test_an_index_of_given_vectors_is_searched_by_words_and_has_neighbours(browser: Any, tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "given") as index:
        index.add(["bread from yesterday", "it rains"], vectors=np.eye(2, 6, dtype=np.float32), space="other")
        index.add([Record("a text without a vector", vector=None)], vectors=[None], space="other")
    with running(tmp_path / "given", toy=False) as server:
        tab = Tab(browser, server.url)
        tab.search("bread", 1)
        assert tab.page.is_disabled("[name=mode][value=dense]")
        tab.page.click("#hits button.open")
        tab.page.wait_for_selector("text=Words of the query that it has")
        assert tab.page.locator("text=Explain the score").count() == 0
        tab.check_access()
        tab.page.get_by_role("button", name="Neighbours").click()
        tab.page.wait_for_selector("#like:not([hidden])")
        tab.settle()
        assert tab.texts() == ["it rains"]
        tab.page.click("nav >> text=Explain")
        tab.page.wait_for_selector("text=made by another program")
        assert not tab.page.is_visible("#problem")
        tab.close()


def test_texts_of_any_script_and_length_and_many_fields_are_shown(browser: Any, tmp_path: Path) -> None:
    words = " ".join(f"bread{number}" for number in range(500))
    with opened(tmp_path / "index") as index:
        index.add([Record(f"text {number}", metadata={"lang": "en"}) for number in range(250)])
        metadata = [{f"field{number}": ARABIC if number == 19 else other for number in range(20)} for other in (1, 2)]
        index.add([Record(ARABIC, "ar", metadata[0]), Record(words, "long", metadata[1])])
    with running(tmp_path / "index") as server:
        tab = Tab(browser, server.url)
        tab.page.wait_for_selector("text=field0")
        while (more := tab.page.locator("button.rest")).count():
            left = more.inner_text()
            more.click()
            tab.until(f"document.querySelector('button.rest')?.textContent !== {json.dumps(left)}")
        tab.page.get_by_role("button", name=ARABIC).click()
        tab.wait_for_hits(2)
        tab.page.locator("#hits > li", has_text="bread0").locator("button.open").click()
        tab.page.wait_for_selector("h3 >> text=The whole text")
        assert "bread499" in tab.page.inner_text("#hits .context")
        tab.page.fill("#query", ARABIC)
        tab.settle()
        assert tab.page.evaluate("getComputedStyle(document.querySelector('#query')).direction") == "rtl"
        tab.check_access()
        tab.page.goto(f"{tab.url}/#view=explain&text={words}")
        tab.page.reload()
        tab.page.wait_for_selector("text=This text is too long for the model")
        tab.check_access()
        tab.close()
