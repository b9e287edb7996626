"""What a person does with the page, step by step. Each flow begins with a tab that shows the first view."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vecindex import Index, Record

from ...support.places import PROJECT
from .browser import Tab

SENTENCES = PROJECT / "data" / "sentences.jsonl"
NOTE = """\
Sourdough begins with flour and water. Wild yeast lives in the mix. Feed it once a day.
It is ready once it doubles within six hours. Bread of a young starter tastes flat.
"""
MINUS = "\N{MINUS SIGN}"
HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script> & <b>zebra</b> \u202egnirts'
HOSTILE_METADATA = {
    "page": "https://example.com/a?b=<c>",
    "script": "javascript:window.hurt=1",
    "<b>name</b>": "</span><img src=x onerror=window.hurt=1>",
}


def fill(index: Index, folder: Path) -> None:
    """500 sentences with metadata, a document of five sentences, and records that try to be more than text."""
    (folder / "sourdough.txt").write_text(NOTE, encoding="utf-8")
    index.add_files([SENTENCES])
    index.add_files([folder / "sourdough.txt"], split="sentence")
    index.add([Record(HOSTILE, "<i>key</i>'\"&", HOSTILE_METADATA)])


def state(tab: Tab) -> dict[str, list[str]]:
    """What the fragment of the URL says."""
    return parse_qs(urlsplit(tab.page.url).fragment)


def typing(tab: Tab) -> None:
    """Hits follow the keys; the URL has the query, and shows the same again."""
    tab.wait_for_hits(20)
    assert "in the order in which they were added" in tab.said()
    tab.shoot("first")
    tab.page.click("text=Both")
    tab.page.focus("#query")
    with tab.page.expect_response("**/v1/explain-search"):
        tab.page.keyboard.type("bread from yesterday")
    tab.page.wait_for_selector("#hits mark")
    assert state(tab) == {"q": ["bread from yesterday"], "mode": ["hybrid"]}
    assert tab.said().startswith("The best 10 hits.")
    assert "The shop on the corner sells bread from yesterday at half price." in tab.texts()[:3]
    assert "bread" in tab.page.locator("#hits mark.found").all_inner_texts()
    tab.shoot("search")
    tab.check_access()
    shared = tab.open(f"#{urlsplit(tab.page.url).fragment}")
    shared.wait_for_selector("#hits > li")
    assert shared.locator("#hits .text").all_inner_texts() == tab.texts()
    assert shared.input_value("#query") == "bread from yesterday"
    tab.page.click("#more")
    tab.wait_for_hits(20)
    assert len(set(tab.texts())) == 20


def modes(tab: Tab) -> None:
    """Words and both; the tokens compared; the URL says which."""
    tab.search("bread", 10)
    tab.page.click("text=Words")
    tab.until("document.querySelectorAll('#hits > li').length < 10")
    assert all("bread" in text.lower() for text in tab.texts())
    tab.page.wait_for_selector("mark.found")
    tab.search("zzz", 0)
    assert tab.said().startswith("No record has a word of the query. Search by meaning")
    tab.search("bread")
    tab.page.click("text=Both")
    tab.wait_for_hits(10)
    with tab.page.expect_response("**/v1/search") as answer:
        tab.page.check("#rerank")
    assert json.loads(answer.value.request.post_data)["rerank"] == "tokens"
    assert state(tab) == {"q": ["bread"], "mode": ["hybrid"], "rerank": ["tokens"]}


def filtering(tab: Tab) -> None:
    """Chips with counts, several of a field, fields together, an expression, and one that cannot be read."""
    tab.search("a nice meal", 10)
    tab.page.get_by_role("button", name="cooking 25").click()
    tab.page.get_by_role("button", name="travel 25").click()
    tab.page.wait_for_selector("[aria-pressed=true] >> text=travel")
    tab.settle()
    assert state(tab)["filter"] == ['["topic","cooking"]', '["topic","travel"]']
    tab.page.get_by_role("button", name=re.compile(r"^en \d+$")).click()
    tab.until("document.querySelectorAll('[aria-pressed=true]').length === 3")
    tab.wait_for_hits(10)
    for text in tab.page.locator("#hits .place").all_inner_texts():
        assert "cooking" in text or "travel" in text
        assert "en" in text
    tab.shoot("filters")
    tab.check_access()
    tab.page.fill("#where", "topic =")
    tab.page.wait_for_selector("#where[aria-invalid=true]")
    assert "expected" in tab.page.inner_text("#where-problem")
    assert not tab.page.is_visible("#problem")
    tab.page.fill("#where", "topic = 'travel'")
    tab.page.wait_for_selector("#where[aria-invalid=false]")
    assert tab.page.inner_text("#where-problem") == ""
    tab.wait_for_hits(10)
    assert all("travel" in text for text in tab.page.locator("#hits .place").all_inner_texts())
    tab.page.keyboard.press("Enter")
    tab.page.select_option("#group", "lang")
    tab.wait_for_hits(1)


def opening(tab: Tab) -> None:
    """Why a hit is there: context, places, tokens, words and its record."""
    tab.page.click("text=Both")
    tab.search("a young starter", 10)
    hit = tab.page.locator("#hits > li", has_text="Bread of a young starter").first
    hit.locator("button.open").click()
    hit.locator(".tokens").wait_for()
    opened = hit.locator(".opened").inner_text()
    assert "It is ready once it doubles within six hours." in opened
    assert "What each token adds to the cosine" in opened
    assert "Words of the query that it has" in opened
    assert "sourdough.txt, line 2" in hit.inner_text()
    tab.shoot("hit")
    tab.check_access()
    hit.locator(".text").click()
    assert not hit.locator(".opened").is_visible()


def neighbours(tab: Tab) -> None:
    """Records like a hit, and back again."""
    tab.search("bread from yesterday", 10)
    tab.page.locator("#hits button.open").first.click()
    before = tab.texts()
    tab.page.get_by_role("button", name="Neighbours").click()
    tab.page.wait_for_selector("#like:not([hidden])")
    tab.until(f"document.querySelector('#like q').textContent === {json.dumps(before[0])}")
    tab.settle()
    assert len(tab.texts()) == 10
    assert before[0] not in tab.texts()
    tab.page.locator("#hits button.open").first.click()
    tab.page.wait_for_selector("#hits .tokens")
    tab.shoot("neighbours")
    tab.check_access()
    tab.page.get_by_role("button", name="Back").click()
    tab.until(f"document.querySelector('#hits .text').textContent === {json.dumps(before[0])}")
    assert tab.page.input_value("#query") == "bread from yesterday"


def explaining(tab: Tab) -> None:
    """Two texts, step by step; the shares and the sums are those that the server tells."""
    tab.page.click("nav >> text=Explain")
    tab.page.wait_for_selector("text=Why not flatten the rows")
    tab.shoot("explain", whole=True)
    tab.check_access()
    tab.page.fill("#explain-against", "")
    tab.page.wait_for_selector("text=Two texts are compared", state="detached")
    tab.page.fill("#explain-text", "my name is Aun")
    tab.page.fill("#explain-against", "my name")
    tab.page.wait_for_selector("text=Two texts are compared")
    tab.page.wait_for_selector("h3 >> text=of my name adds")
    assert state(tab) == {"view": ["explain"], "text": ["my name is Aun"], "against": ["my name"]}
    score = float(tab.page.inner_text(".score.large strong"))
    added = [
        float(text.replace(MINUS, "-")) for text in tab.page.locator(".tokens >> nth=1 >> .value").all_inner_texts()
    ]
    assert abs(sum(added) - score) < 0.001 * (len(added) + 1)
    shares = [float(text) for text in tab.page.locator(".tokens >> nth=0 >> .value").all_inner_texts()]
    assert abs(sum(shares) - 1) < 0.001 * len(shares)
    assert "zeros" in tab.page.inner_text("table.against")


def facts(tab: Tab) -> None:
    """The index at a glance."""
    tab.page.click("nav >> text=Index")
    tab.page.wait_for_selector("h2 >> text=Sources")
    text = tab.page.inner_text("#index")
    assert "506 records" in text
    assert "sentences.jsonl" in text
    assert tab.page.inner_text("#health") == "506 records"
    tab.shoot("index", whole=True)
    tab.check_access()


def keyboard(tab: Tab) -> None:
    """Everything without a mouse."""
    press = tab.page.keyboard.press
    tab.wait_for_hits(20)
    tab.page.evaluate("document.activeElement.blur()")
    press("?")
    tab.page.wait_for_selector("#keys[open]")
    tab.shoot("keys")
    tab.check_access()
    press("Escape")
    press("/")
    assert tab.focused() == "query"
    tab.page.keyboard.type("bread from yesterday?")
    assert tab.page.input_value("#query") == "bread from yesterday?"
    tab.wait_for_hits(10)
    press("ArrowDown")
    first = tab.focused("getAttribute('aria-describedby')")
    press("j")
    press("ArrowDown")
    press("k")
    press("ArrowUp")
    assert tab.focused("getAttribute('aria-describedby')") == first
    press("Enter")
    assert tab.focused("getAttribute('aria-expanded')") == "true"
    tab.page.wait_for_selector("#hits .tokens")
    tab.shoot("keyboard")
    press("Escape")
    assert tab.focused("getAttribute('aria-expanded')") == "false"
    press("Escape")
    assert tab.focused() == "query"
    press("ArrowDown")
    press("n")
    tab.page.wait_for_selector("#like:not([hidden])")
    tab.back()
    tab.page.focus("#hits button.open")
    press("e")
    tab.page.wait_for_selector("text=Two texts are compared")
    assert tab.page.input_value("#explain-against") == "bread from yesterday?"
    press("/")
    assert tab.focused() == "query"
    assert tab.page.input_value("#query") == "bread from yesterday?"


def hostile(tab: Tab) -> None:
    """Texts of the index stay texts, and only http(s) is a link."""
    tab.page.click("text=Words")
    tab.search("zebra", 1)
    assert tab.texts() == [HOSTILE]
    tab.page.wait_for_selector("mark >> text=zebra")
    hit = tab.page.locator("#hits > li")
    hit.locator("button.open").click()
    hit.locator("dd >> text=javascript:window.hurt=1").wait_for()
    assert "<i>key</i>'\"&" in hit.inner_text()
    assert hit.locator("a[href^='https://example.com']").count() == 1
    assert hit.locator("a:not([href^='https:']):not([href^='#'])").count() == 0
    assert tab.page.locator("main :is(img, script, b, i)").count() == 0
    tab.shoot("hostile")
    hit.get_by_role("button", name="Neighbours").click()
    tab.page.wait_for_selector("#like >> text=zebra")
    tab.back()
    tab.page.focus("#hits button.open")
    tab.page.keyboard.press("e")
    tab.page.wait_for_selector("text=Two texts are compared")
    tab.page.goto(
        f"{tab.url}/#q=%3Cimg src=x onerror=window.hurt=1%3E&filter=[%22%3Cb%3E%22,1]&like=%3Cb%3E&group=%3Cb%3E"
    )
    tab.page.reload()
    tab.page.wait_for_load_state("networkidle")
    assert tab.page.evaluate("window.hurt") is None
    assert tab.page.locator("main :is(img, script, b, i)").count() == 0


def late(tab: Tab) -> None:
    """An answer that comes after the one to a later question is not shown."""
    tab.page.evaluate(
        """() => {
            const asked = window.fetch;
            window.fetch = async (path, options) => {
                if (!options.body?.includes('"slow"')) return asked(path, options);
                const answer = await asked(path, {...options, signal: undefined});
                await new Promise((then) => setTimeout(then, 700));
                window.wasLate = true;
                return answer;
            };
        }"""
    )
    tab.page.fill("#query", "slow")
    tab.page.wait_for_timeout(200)
    tab.search("bread", 10)
    shown = tab.texts()
    tab.until("window.wasLate")
    tab.page.wait_for_timeout(100)
    assert tab.texts() == shown


FLOWS: dict[str, Callable[[Tab], Any]] = {
    each.__name__: each
    for each in (typing, modes, filtering, opening, neighbours, explaining, facts, keyboard, hostile, late)
}


def fits(tab: Tab) -> None:
    """Nothing is wider than the window, in any view."""

    def check() -> None:
        width = tab.options["viewport"]["width"]
        assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= width
        tab.check_access()

    tab.wait_for_hits(20)
    tab.page.click("#filters summary")
    tab.page.wait_for_selector(".choice")
    tab.shoot("filters")
    check()
    tab.page.click("#filters summary")
    tab.search("a young starter", 10)
    tab.page.wait_for_selector("#hits mark")
    tab.shoot("search")
    tab.page.locator("#hits button.open").first.click()
    tab.page.wait_for_selector("#hits .tokens")
    tab.shoot("hit")
    check()
    tab.page.click("nav >> text=Explain")
    tab.page.wait_for_selector("text=Why not flatten the rows")
    tab.shoot("explain", whole=True)
    check()
    tab.page.click("nav >> text=Index")
    tab.page.wait_for_selector("h2 >> text=Sources")
    tab.shoot("index", whole=True)
    check()


QUERIES = (
    *("bread", "dough", "rain", "train", "music", "garden", "dog", "money", "letter", "window"),
    *("river", "winter", "coffee", "market", "holiday", "doctor", "school", "bike", "phone", "kitchen"),
)


def milliseconds(tab: Tab) -> list[float]:
    """From the last key of each query to the frame that shows its first answer."""
    tab.wait_for_hits(20)
    tab.page.evaluate(
        """() => {
            let pressed = 0;
            document.addEventListener("keydown", () => {
                pressed = performance.now();
                window.shownAfter = null;
            }, true);
            new MutationObserver(() => requestAnimationFrame(() => {
                window.shownAfter ??= performance.now() - pressed;
            })).observe(document.getElementById("hits"), {childList: true});
        }"""
    )
    tab.page.focus("#query")
    found = []
    for query in QUERIES:
        tab.page.fill("#query", "")
        tab.page.wait_for_timeout(700)
        tab.page.keyboard.type(query, delay=60)
        tab.until("window.shownAfter")
        found.append(float(tab.page.evaluate("window.shownAfter")))
    return found
