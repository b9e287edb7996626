"""The guide's pages: each is listed, linked, readable in a terminal, and in step with the code."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import vecindex
from vecindex.cli import main
from vecindex.cli.commands.guide import TOPICS
from vecindex.search.lexical.bm25 import K1, B, form_share, idf

from ..support.blocks import GUIDE, README
from .make_pages import COMMAND
from .make_pages import PAGES as MADE

PAGES = sorted(GUIDE.glob("*.md"))


def _below(root: type) -> list[str]:
    public = {name: getattr(vecindex, name) for name in vecindex.__all__}
    return [name for name, each in public.items() if isinstance(each, type) and issubclass(each, root) and each != root]


ERRORS = _below(vecindex.VecindexError)


@pytest.mark.parametrize(("path", "made"), MADE.items(), ids=lambda each: getattr(each, "stem", ""))
def test_a_page_made_from_the_code_is_up_to_date(path: Path, made: Callable[[], str]) -> None:
    differences = difflib.unified_diff(path.read_text(encoding="utf-8").splitlines(), made().splitlines(), lineterm="")
    changed = "\n".join(differences)
    assert not changed, f"{path.name} does not match the code. Run: {COMMAND}\n{changed}"


@pytest.mark.parametrize("name", ["python-api", "python-index"])
def test_sections_of_docstrings_are_lists_whose_items_may_be_of_several_lines(name: str) -> None:
    text = (GUIDE / f"{name}.md").read_text(encoding="utf-8")
    sections = re.findall(r"^(?:Arguments|Attributes):\n((?:.+\n)+)", text, re.MULTILINE)
    assert sections
    for line in "".join(sections).splitlines():
        assert re.match(r"- `\w+(, \w+)*`(: |\.)|  \S", line), line


def test_every_page_is_a_topic() -> None:
    assert sorted(TOPICS) == sorted(page.stem for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_begins_with_a_title_and_a_sentence(page: Path) -> None:
    title, blank, sentence, after = page.read_text(encoding="utf-8").splitlines()[:4]
    assert re.fullmatch(r"# [A-Z].*[^.]", title)
    assert (blank, after) == ("", "")
    assert sentence.endswith(".")
    assert len(sentence) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_ascii_so_that_every_terminal_shows_it(page: Path) -> None:
    assert page.read_bytes().isascii()


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path
        assert linked.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_readme_is_short_and_links_every_page() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert [page.stem for page in PAGES if f"](vecindex/guide/{page.name})" not in text] == []


def test_every_error_has_a_section_in_troubleshooting() -> None:
    text = (GUIDE / "troubleshooting.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^## ([A-Z][a-z]+[A-Z]\w+)$", text, flags=re.MULTILINE))
    assert named == set(ERRORS)


MESSAGES = (
    vecindex.IndexNotFound("PATH"),
    vecindex.RecordNotFound("KEY"),
    vecindex.TextTooLong(4, "KEY", "TEXT", 312, 256, "MODEL"),
    vecindex.TextWithoutToken("TEXT", False, 4, "KEY"),
    vecindex.InvalidFilter("REASON", "FILTER", 7),
    vecindex.CursorExpired(3, 5, "REASON"),
    vecindex.SourceError("PATH", 2, "REASON"),
    vecindex.ModelNotFound("MODEL", ["PLACES"]),
    vecindex.UnsupportedModel("MODEL", "REASON"),
    vecindex.SpaceMismatch("SPACE", "SPACE", "DIFFERENCE"),
    vecindex.IndexLocked("PATH", 4711, "HOST", 10, 25),
    vecindex.IncompatibleFormat("PATH", 7, 6),
    vecindex.CorruptIndex("PATH", "REASON"),
    vecindex.StorageError("PATH", "REASON"),
    vecindex.OutOfMemory("DOING"),
    vecindex.EncodingFailed("REASON", "ADVICE"),
    vecindex.ServerError("URL", 503, "KIND", "REASON", "ADVICE", 5.0),
    vecindex.MissingExtra("parquet", "WHAT"),
)


@pytest.mark.parametrize("error", MESSAGES, ids=lambda error: type(error).__name__)
def test_troubleshooting_shows_the_message_of_an_error(error: vecindex.VecindexError) -> None:
    text = (GUIDE / "troubleshooting.md").read_text(encoding="utf-8")
    assert f"\n## {type(error).__name__}\n\nMessage: `{error.message}`\n" in text


def test_every_error_with_a_message_of_its_own_is_shown_with_it() -> None:
    assert {type(error).__name__ for error in MESSAGES} == {*ERRORS} - {"InvalidInput"}


@pytest.mark.parametrize("name", ERRORS)
def test_troubleshooting_names_the_fields_of_an_error_and_what_else_it_is(name: str) -> None:
    section = (GUIDE / "troubleshooting.md").read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n\n- ")[0]
    kind = getattr(vecindex, name)
    fields = inspect.signature(kind).parameters.keys() - {"advice", "message"}
    bases = {base.__name__ for base in kind.__bases__} - {"VecindexError"}
    assert fields | bases <= set(re.findall(r"`(\w+)`", section))


def test_every_warning_is_in_the_python_page() -> None:
    text = (GUIDE / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)\(", text, flags=re.MULTILINE))
    assert named == set(_below(vecindex.VecindexWarning))


def test_every_public_name_and_every_method_of_an_index_is_in_the_python_api() -> None:
    text = (GUIDE / "python-api.md").read_text(encoding="utf-8")
    index = (GUIDE / "python-index.md").read_text(encoding="utf-8")
    methods = {f"index.{name}" for name in dir(vecindex.Index) if not name.startswith("_")}
    headings = set(re.findall(r"^## ([\w.]+)$", index, flags=re.MULTILINE))
    assert methods - headings == {"index.path", "index.readonly"} & methods
    assert [name for name in vecindex.__all__ if name not in text] == []


def _options(command: click.Command) -> set[str]:
    return {option for param in command.params for option in param.opts} | {"--help"}


def _all_options(group: click.Command) -> set[str]:
    inner = group.commands.values() if isinstance(group, click.Group) else ()
    return _options(group).union(*map(_all_options, inner))


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_commands_and_options_within_the_text_of_a_page_exist(page: Path) -> None:
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", page.read_text(encoding="utf-8")):
        options = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", code))
        if code.startswith("vecindex ") and code.split()[1] != "COMMAND":
            command: click.Command = main
            for word in code.split()[1:]:
                if isinstance(command, click.Group) and word in command.commands:
                    command = command.commands[word]
            assert command is not main or options, code
            assert options <= _options(command), code
        elif code.startswith("-"):
            assert options <= _all_options(main), code


def test_the_formula_of_bm25_is_that_which_is_computed() -> None:
    page = (GUIDE / "searching.md").read_text(encoding="utf-8")
    formula = f"* idf * f * {K1 + 1:g} / (f + {K1:g} * ({1 - B:g} + {B:g} * length / average length))"
    assert formula in page
    assert "idf = ln(1 + (N - n + 0.5) / (n + 0.5))" in page
    assert idf(10, 3) == pytest.approx(math.log(1 + (10 - 3 + 0.5) / (3 + 0.5)))
    assert "the factor 2 / (words of the query) - 1/3" in page
    assert [form_share(words) for words in (1, 4, 6, 7)] == pytest.approx([2 - 1 / 3, 2 / 4 - 1 / 3, 0, 0])
