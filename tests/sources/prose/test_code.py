"""Source code: blocks of a few paragraphs, with the programming language."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vecindex.sources.formats import SUFFIXES, Format
from vecindex.sources.prose.code import LONGEST

from ...support.extent import examples
from ...support.prose import blocks, check, document, found, texts

FUNCTION = "def f{n}(x):\n    " + "x = x + 1  # a step\n    " * 18 + "return x\n"


def test_the_language_is_metadata_and_every_block_is_whole_code() -> None:
    read = document("a.py", "x = 1\n")
    assert (read.metadata, read.has_lines, texts(read)) == ({"language": "python"}, True, ["x = 1"])
    assert [(block.whole, dict(block.metadata)) for block in blocks(read)] == [(True, {"code": True})]
    assert document("lib.RS", "fn a() {}\n", Format.CODE).metadata == {"language": "rust"}
    assert document("a.go.gz", "package a\n", Format.CODE).metadata == {"language": "go"}
    assert document("Makefile", "all:\n", Format.CODE).metadata == {"language": "make"}
    assert document("script", "all:\n", Format.CODE).metadata is None


def test_known_suffixes_are_read_as_code() -> None:
    for suffix in (".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".go", ".rs", ".rb", ".sh", ".sql", ".css"):
        assert SUFFIXES[suffix] is Format.CODE
    assert ".log" not in SUFFIXES


def test_short_paragraphs_are_joined_and_long_ones_begin_a_block() -> None:
    functions = [FUNCTION.replace("{n}", str(n)) for n in range(3)]
    read = document("a.py", "import a\n\nimport b\n\n\n" + "\n\n".join(functions))
    assert texts(read)[0] == "import a\n\nimport b\n\n\n" + functions[0].strip()
    assert texts(read)[1:] == [function.strip() for function in functions[1:]]


def test_indented_paragraphs_stay_with_what_is_above_them() -> None:
    body = "    y = 2\n" * 40
    read = document("a.py", f"def f():\n{body}\n\n    return y\n\n\ndef g():\n    pass\n")
    assert texts(read) == [f"def f():\n{body}\n\n    return y", "def g():\n    pass"]


def test_no_block_is_longer_than_the_limit_even_of_one_line() -> None:
    read = document("a.js", "var a=1;" * 700_000)
    assert {len(text) for text in texts(read)[:-1]} == {LONGEST}
    assert "".join(texts(read)) == read.text
    assert found("a.js", "\n" * 100_000 + " " * 1_000_000 + "\n") == []


@given(st.text(st.sampled_from("ab \t\n\r\x0b\u2028é{}"), max_size=4000))
@examples(500)
def test_blocks_hold_all_that_is_written(text: str) -> None:
    for each in found("a.c", text):
        check(each)  # type: ignore[arg-type]
        assert "".join("".join(texts(each)).split()) == "".join(text.split())  # type: ignore[arg-type]
