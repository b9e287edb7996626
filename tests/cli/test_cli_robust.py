"""``vecindex add`` of what is damaged, odd or hostile: it is added as it is meant, or refused with file and line."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from pathlib import Path

import pytest

from ..support.commands import run, stored, write
from ..support.places import SHARED

pytestmark = pytest.mark.usefixtures("here", "encoder")

DATA = SHARED / "data" / "badinput"
CASES = SHARED / "cases"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")


def texts() -> list[str]:
    return sorted(text for text, _ in stored().values())


def counts(*arguments: str) -> dict[str, object]:
    """What ``add`` reports as JSON."""
    code, out, _ = run("add", *arguments, "--report", "json")
    assert code == 0
    found: dict[str, object] = json.loads(out)
    return found


# --- texts


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"])
def test_a_file_in_any_usual_encoding_is_added(encoding: str) -> None:
    lines = ["Der Fluss fließt über die Brücke.", "Größe und Höhe zählen für die Übung."]
    write("notes.txt", "\r\n".join(lines).encode(encoding))
    assert counts("notes.txt")["added"] == 2
    assert texts() == sorted(lines)


def test_a_named_encoding_is_used_and_replaced_bytes_are_counted() -> None:
    write("a.txt", b"caf\xe9\n")
    assert run("add", "a.txt")[0] == 1
    assert run("add", "a.txt", "--encoding", "cp1252")[0] == 0
    assert texts() == ["café"]
    code, _, err = run("add", "a.txt", "--errors", "replace", "--index", "b")
    assert code == 0
    assert "Warning: 1 invalid byte was read as U+FFFD" in err
    found = counts("a.txt", "--errors", "replace", "--index", "c")
    assert (found["added"], found["replaced"], found["bad"]) == (1, 1, 0)
    planned = counts("a.txt", "--errors", "replace", "--dry-run")
    assert (planned["rows"], planned["replaced"], planned["empty"], planned["files_skipped"]) == (1, 1, 0, {})


def test_nul_mixed_line_ends_and_a_line_of_100_mb() -> None:
    with Path("notes.txt").open("wb") as out:
        out.write(b"one\r\ntwo\rthree\nn\0l\n")
        for _ in range(100):
            out.write(b"x" * 1_000_000)
        out.write(b"\nfour\n")
    code, _, err = run("add", "notes.txt", "--skip-bad", "--rejects", "bad.jsonl")
    assert code == 0
    assert texts() == ["four", "one", "three", "two"]
    assert "Skipped: notes.txt:4: byte 2 of the line is NUL, so this is not UTF-8 text" in err
    assert "Skipped: notes.txt:5: the line is longer than 67,108,864 bytes" in err
    rows = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert [(row.get("text"), row["rejected"]["line"]) for row in rows] == [("n\0l", 4), (None, 5)]


def test_a_repeated_key_is_an_error_that_names_both_lines_unless_the_last_wins() -> None:
    write("a.jsonl", '{"key": "a", "text": "one"}\n{"key": "b", "text": "two"}\n{"key": "a", "text": "three"}\n')
    code, _, err = run("add", "a.jsonl")
    assert (code, err.splitlines()[0]) == (1, "Error: a.jsonl:3: the key 'a' is also that of line 1")
    assert counts("a.jsonl", "--on-duplicate", "last")["duplicates"] == 1
    assert {key: text for key, (text, _) in stored().items()} == {"a": "three", "b": "two"}


def test_numbers_are_texts_and_what_is_nested_or_empty_is_told() -> None:
    write(
        "a.jsonl",
        '{"text": 7}\n{"text": true}\n{"text": ""}\n{"text": null}\n{"text": "  "}\n'
        '{"text": ["a"]}\n{"text": {"a": 1}}\n{"text": "b"}\n',
    )
    found = counts("a.jsonl", "--skip-bad")
    assert (found["added"], found["empty"], found["bad"]) == (3, 3, 2)
    assert texts() == ["7", "b", "true"]


# --- files, folders and archives


def test_a_loop_of_links_and_what_cannot_be_read_is_skipped_and_counted() -> None:
    Path("docs").mkdir()
    write("docs/a.txt", "one\n")
    write("docs/.hidden.txt", "two\n")
    write("docs/empty.txt", "")
    Path("docs/loop").symlink_to(".")
    Path("docs/self.txt").symlink_to("self.txt")
    found = counts("docs")
    assert found["added"] == 1
    assert found["files_skipped"] == {"hidden": 1, "empty": 1, "link to a folder": 1, "broken link": 1}


def test_a_file_that_grows_between_checking_and_adding_is_added_again_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vecindex.index.adding.files_input import FilesInput

    write("a.txt", "one\n")
    real = FilesInput.check

    def check(self: FilesInput, *arguments: object) -> None:
        real(self, *arguments)  # type: ignore[arg-type]
        with Path("a.txt").open("a") as file:
            file.write("two\n")

    monkeypatch.setattr(FilesInput, "check", check)
    assert run("add", "a.txt")[0] == 0
    monkeypatch.setattr(FilesInput, "check", real)
    assert run("add", "a.txt")[0] == 0
    assert texts() == ["one", "two"]
    assert run("verify")[0] == 0


def test_a_file_that_vanishes_between_checking_and_adding_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from vecindex.index.adding.files_input import FilesInput

    write("a.txt", "one\n")
    real = FilesInput.check

    def check(self: FilesInput, *arguments: object) -> None:
        real(self, *arguments)  # type: ignore[arg-type]
        Path("a.txt").unlink()

    monkeypatch.setattr(FilesInput, "check", check)
    code, _, err = run("add", "a.txt")
    assert (code, err.splitlines()[0]) == (1, "Error: a.txt: cannot be read: No such file or directory")


def test_paths_out_of_an_archive_are_refused() -> None:
    with zipfile.ZipFile("docs.zip", "w") as archive:
        archive.writestr("../a.txt", "one\n")
        archive.writestr("b.txt", "two\n")
    code, _, err = run("add", "docs.zip")
    assert (code, err.startswith("Error: docs.zip/../a.txt: ")) == (1, True)
    assert run("add", "docs.zip", "--skip-bad")[0] == 0
    assert texts() == ["two"]


def test_entities_of_xml_are_not_read(here: Path) -> None:
    write("secret.txt", "the secret\n")
    with zipfile.ZipFile("a.docx", "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        )
        archive.writestr(
            "word/document.xml",
            f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file://{here}/secret.txt">]>'
            '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
            "<w:body><w:p><w:r><w:t>&x;</w:t></w:r></w:p></w:body></w:document>",
        )
    code, _, err = run("add", "a.docx")
    assert (code, err.startswith("Error: a.docx")) == (1, True)
    assert "the secret" not in err


def test_a_stream_that_is_cut_off_is_refused_with_its_line() -> None:
    write("a.txt.gz", gzip.compress(b"one\n" * 1000)[:-12])
    code, _, err = run("add", "a.txt.gz")
    assert (code, err.startswith("Error: a.txt.gz")) == (1, True)


# --- the shared data


@needs_data
def test_every_valid_json_document_is_added_and_every_invalid_one_is_refused_with_its_line() -> None:
    refused = []
    for file in sorted((DATA / "json").glob("[yni]_*.json")):
        Path("x.json").write_bytes(b'[{"text": "a", "v": ' + file.read_bytes().removeprefix(b"\xef\xbb\xbf") + b"}]")
        code, out, err = run("add", "x.json", "--dry-run")
        assert code in (0, 1), file.name
        if file.name.startswith("n_"):
            if not (code == 1 and out == "" and err.startswith("Error: x.json")):
                refused.append(file.name)
        elif file.name.startswith("y_") and code:
            refused.append(file.name)
    assert refused == [
        "y_object_duplicated_key.json",
        "y_object_duplicated_key_and_value.json",
        "y_object_escaped_null_in_key.json",
    ]


@needs_data
def test_every_table_of_the_suite_is_added_as_python_reads_it() -> None:
    for file in sorted((DATA / "csv").glob("*.csv")):
        with file.open(newline="", encoding="utf-8") as rows:
            expected = list(csv.DictReader(rows))
        first = next(iter(expected[0]))
        index = f"{file.stem}.index"
        code, _, err = run("add", str(file), "--text-column", first, "--types", "text", "--index", index)
        assert code == 0, err
        told = sorted((row[first], {k: v for k, v in row.items() if k != first}) for row in expected if row[first])
        assert sorted(stored(index).values()) == told, file.name


# --- the shared cases


def found(query: str, *options: str, index: str = ".vecindex") -> list[dict[str, object]]:
    code, out, _ = run("search", query, "--format", "json", "-k", "100", "--index", index, *options)
    assert code == 0
    hits: list[dict[str, object]] = json.loads(out)
    return hits


@needs_cases
def test_the_cases_that_were_tried_from_outside(here: Path) -> None:
    with (CASES / "repeated.csv").open(newline="", encoding="utf-8") as rows:
        expected = sorted(csv.DictReader(rows), key=lambda row: str(sorted(row.items())))
    assert run("add", str(CASES / "repeated.csv"), "--text-column", "text", "--types", "text", "--index", "a")[0] == 0
    kept = [{"text": text, **dict(metadata)} for text, metadata in stored("a").values()]  # type: ignore[call-overload]
    assert sorted(kept, key=lambda row: str(sorted(row.items()))) == expected

    assert run("add", str(CASES / "typed.csv"), "--text-column", "name", "--index", "b")[0] == 0

    def metadata(where: str, field: str) -> list[object]:
        hits = found("report", "--where", where, index="b")
        return sorted(hit["metadata"].get(field) for hit in hits)  # type: ignore[attr-defined]

    assert metadata("year >= 1990", "year") == [1990, 2021]
    assert metadata("score > 100", "score") == [500]
    assert metadata("zip = '01234'", "zip") == ["01234"]
    assert metadata("active = true", "active") == [True, True]
    assert len(metadata("tags contains 'cats'", "zip")) == 2
    assert metadata("year is null", "year") == [None]

    assert run("add", str(CASES / "items.json"), "--index", "c")[0] == 0
    assert [dict(data) for _, data in stored("c").values() if data] == [{"n": 2}]  # type: ignore[call-overload]
    assert len(stored("c")) == 2
    assert run("add", str(CASES / "two.jsonl.gz"), "--index", "d")[0] == 0
    assert len(stored("d")) == 2

    assert run("add", str(CASES / "docs"), "--index", "e")[0] == 0
    best = found("how do I stop logging", index="e")[0]
    assert str(best["source"]).endswith("docs/setup/install.md")
    assert best["metadata"]["headings"] == ["Installing", "Logging to a database"]  # type: ignore[index]
    whole = (CASES / "docs/setup/install.md").read_text()
    assert whole[slice(*best["span"])] == best["text"]  # type: ignore[misc]
    everything = [text for text, _ in stored("e").values()]
    assert "Dr. Ames sees patients at 10 a.m. only." in everything
    script = [line for line in everything if "function" in line or "var " in line or "alert" in line]
    assert script == []
