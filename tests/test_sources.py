"""Reading files: exactly the records that are there, and for every bad row its file and line."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecindex.errors import InvalidInput, SourceError
from vecindex.records import Record
from vecindex.sources import Format, Source, lines, read, source

DATA = Path(__file__).parents[2] / "shared" / "data"
BAD_JSON = sorted((DATA / "badinput" / "json").glob("*.json"))
CSV_SPECTRUM = DATA / "badinput" / "csv"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def records(name: str, content: bytes | str, **options: Any) -> list[Record]:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read(source(name, **options)))


def refused(name: str, content: bytes | str, **options: Any) -> tuple[int | None, str]:
    with pytest.raises(SourceError) as caught:
        records(name, content, **options)
    assert caught.value.path == name
    assert "\n" not in str(caught.value)
    return caught.value.line, caught.value.reason


def with_bad_rows(name: str, content: bytes | str, **options: Any) -> tuple[list[str], list[tuple[int | None, str]]]:
    """The texts that are read, and the line and reason of every row left out."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    bad: list[SourceError] = []
    texts = [record.text for record in read(source(name, **options), bad.append)]
    return texts, [(error.line, error.reason) for error in bad]


# --- txt


@pytest.mark.usefixtures("here")
class TestTxt:
    def test_one_record_a_line_with_its_text_kept_exactly(self) -> None:
        assert records("a.txt", "My name is Aun\n  It rains. \r\nlast") == [
            Record("My name is Aun"),
            Record("  It rains. "),
            Record("last"),
        ]

    def test_lines_of_ascii_whitespace_are_separators_and_other_blank_lines_are_text(self) -> None:
        assert records("a.txt", "\n \t\v\f\r\n\u3000\n\u00a0\nx\n\n") == [
            Record("\u3000"),
            Record("\u00a0"),
            Record("x"),
        ]

    def test_lines_end_at_lf_and_cr_lf_only(self) -> None:
        text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\rh"
        assert records("a.txt", f"{text}\n{text}\r\r\n{text}\r") == [
            Record(text),
            Record(text + "\r"),
            Record(text + "\r"),
        ]

    def test_a_byte_order_mark_at_the_start_is_dropped_and_only_there(self) -> None:
        assert records("a.txt", "\ufeff\ufeffa\n\ufeffb") == [Record("\ufeffa"), Record("\ufeffb")]

    def test_bytes_that_are_not_utf8_are_named_with_line_and_byte(self) -> None:
        content = b"good\n\n\xc3\xa9t\xe9\nlast\n"
        assert refused("a.txt", content) == (3, "byte 4 of the line (0xE9) is not UTF-8")
        assert with_bad_rows("a.txt", content) == (["good", "last"], [(3, "byte 4 of the line (0xE9) is not UTF-8")])

    @pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xff"])
    def test_surrogates_and_overlong_forms_are_not_utf8(self, raw: bytes) -> None:
        assert refused("a.txt", b"ab" + raw)[1].startswith("byte 3 of the line (0x")

    def test_nul_is_not_text(self) -> None:
        assert refused("a.txt", b"a\nb\0c\n") == (2, "byte 2 of the line is NUL, so this is not UTF-8 text")

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    @pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv"])
    def test_utf16_and_utf32_are_one_error_that_says_how_to_convert(self, name: str, encoding: str) -> None:
        Path(name).write_bytes("\ufefftext\nb\n".encode(encoding))
        bad: list[SourceError] = []
        with pytest.raises(SourceError) as caught:
            list(read(source(name), bad.append))
        family = encoding[:6].upper()
        assert caught.value.reason.startswith(f"looks like {family}, not UTF-8")
        assert f"iconv -f {family} -t UTF-8" in caught.value.advice
        assert (caught.value.line, bad) == (1, [])

    def test_a_line_too_long_is_a_bad_row_and_the_next_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "MAX_LINE", 10)
        content = "123456789\n1234567890\n" + "x" * 3_000_000 + "\nlast\n"
        reason = "the line is longer than 10 bytes"
        assert with_bad_rows("a.txt", content) == (["123456789", "last"], [(2, reason), (3, reason)])

    def test_columns_make_no_sense(self) -> None:
        assert refused("a.txt", "a\n", text_column="b") == (None, "a txt source has no columns")
        assert refused("a.txt", "a\n", key_column="b") == (None, "a txt source has no columns")

    @needs_data
    def test_naughty_strings_come_back_as_they_are(self) -> None:
        path = DATA / "badinput" / "blns.txt"
        expected = [raw.decode() for raw in path.read_bytes().split(b"\n") if raw.strip()]
        assert len(expected) > 600
        assert [record.text for record in read(source(path))] == expected


# --- jsonl

GOOD = '{"text": "good"}\n'


@pytest.mark.usefixtures("here")
class TestJsonl:
    def test_text_key_and_metadata(self) -> None:
        content = """{"text": "My name is Aun", "key": "a", "metadata": {"lang": "en", "n": [1, 2.5, null, true]}}

        {"text": " x\\n\\u00e9\\ud83d\\ude00 ", "key": 7}
        {"text": "y", "key": null, "metadata": null}
        {"text": "z", "metadata": {}}"""
        assert records("a.jsonl", content) == [
            Record("My name is Aun", "a", {"lang": "en", "n": [1, 2.5, None, True]}),
            Record(" x\n\u00e9\U0001f600 ", "7"),
            Record("y"),
            Record("z", None, {}),
        ]

    def test_other_fields_become_metadata(self) -> None:
        content = (
            '{"id": 3, "text": "a", "title": "t", "metadata": {"lang": "en"}}\n{"text": "b", "metadata": null, "x": 1}'
        )
        assert records("a.jsonl", content) == [
            Record("a", None, {"id": 3, "title": "t", "lang": "en"}),
            Record("b", None, {"x": 1}),
        ]

    def test_a_name_beside_metadata_and_within_is_a_bad_row(self) -> None:
        content = GOOD + '{"text": "a", "lang": "en", "metadata": {"lang": "en"}}'
        assert refused("a.jsonl", content) == (2, "named beside metadata and within: 'lang'")

    def test_other_fields_can_hold_text_and_key(self) -> None:
        content = '{"id": 3, "body": "a", "text": "b", "key": "k"}'
        assert records("a.jsonl", content, text_column="body", key_column="id") == [
            Record("a", "3", {"text": "b", "key": "k"})
        ]

    def test_crlf_and_a_byte_order_mark(self) -> None:
        assert records("a.ndjson", '\ufeff{"text": "a"}\r\n\r\n{"text": "b\u2028c"}\r\n') == [
            Record("a"),
            Record("b\u2028c"),
        ]

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ('{"id": 1, "title": "t"}', "no field 'text'; the fields are: 'id', 'title'"),
            ("{}", "no field 'text'; the fields are: none"),
            ('{"text": 5}', "the field 'text' must be a string, not a number"),
            ('{"text": null}', "the field 'text' must be a string, not null"),
            ('{"text": ["a"]}', "the field 'text' must be a string, not an array"),
            ('{"text": ""}', "the text is empty"),
            ('{"text": " \\n\\t"}', "the text is empty"),
            ('{"text": "a", "key": true}', "the field 'key' must be a string or an integer, not a boolean"),
            ('{"text": "a", "key": 1.0}', "the field 'key' must be a string or an integer, not a number"),
            ('{"text": "a", "key": ""}', "a key is the empty string"),
            ('{"text": "a", "metadata": "x"}', "the field 'metadata' must be an object or null, not a string"),
            ('{"text": "a", "x": NaN}', "NaN is not JSON"),
            ('{"text": "a", "x": [-Infinity]}', "-Infinity is not JSON"),
            ('{"text": "a", "x": -1e400}', "the number -1e400 is too large for a double"),
            ('{"text": "a", "text": "b"}', "named twice in one object: 'text'"),
            ('{"text": "a", "metadata": {"x": {"y": 1, "y": 1}}}', "named twice in one object: 'y'"),
            ('"a"', 'expected an object like {"text": "..."}, not a string'),
            ('["a"]', 'expected an object like {"text": "..."}, not an array'),
            ("[" * 1_000_000, "not usable JSON: nested too deeply"),
            ('{"text": "a", "x": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}", "not usable JSON: nested too deeply"),
            ('{"text": "a\tb"}', "not valid JSON at column 12: Invalid control character at"),
            ('{"text": "a"} {"text": "b"}', "not valid JSON at column 15: Extra data"),
        ],
        ids=lambda value: value[:40],
    )
    def test_a_bad_row_is_named_and_the_others_are_read(self, row: str, reason: str) -> None:
        content = GOOD + "\n" + row + "\n" + GOOD
        assert refused("a.jsonl", content) == (3, reason)
        assert with_bad_rows("a.jsonl", content) == (["good", "good"], [(3, reason)])

    @pytest.mark.parametrize(
        "row",
        [
            '{"text": "\\ud800"}',
            '{"text": "a", "key": "\\udfff"}',
            '{"text": "a", "x\\ud800": 1}',
            '{"text": "a", "metadata": {"x": ["\\udc00\\ud800"]}}',
        ],
    )
    def test_lone_surrogates_are_refused_wherever_they_are(self, row: str) -> None:
        line, reason = refused("a.jsonl", GOOD + row)
        assert line == 2
        assert "lone surrogate" in reason

    @pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="this Python has no limit of digits")
    def test_an_integer_beyond_the_limit_of_digits_is_refused(self) -> None:
        assert refused("a.jsonl", '{"text": "a", "x": ' + "1" * 5000 + "}") == (
            1,
            "a number of 5,000 digits is too long",
        )

    def test_an_array_over_several_lines_gets_its_own_advice(self) -> None:
        Path("a.jsonl").write_text('[\n  {"text": "a"},\n  {"text": "b"}\n]\n')
        with pytest.raises(SourceError, match=r"^a\.jsonl:1: not valid JSON .* a JSON array is not JSONL\.$"):
            list(read(source("a.jsonl")))

    def test_a_column_that_a_row_lacks_is_named(self) -> None:
        row = '{"text": "a", "id": null}'
        assert refused("a.jsonl", row, text_column="body") == (1, "no field 'body'; the fields are: 'text', 'id'")
        assert refused("a.jsonl", row, key_column="_id") == (1, "no field '_id'; the fields are: 'text', 'id'")
        assert refused("a.jsonl", row, key_column="id")[1] == "the field 'id' must be a string or an integer, not null"

    @needs_data
    @pytest.mark.parametrize("path", BAD_JSON, ids=lambda path: path.stem)
    def test_the_json_test_suite(self, path: Path) -> None:
        with pytest.raises(SourceError) as caught:  # none of the files is an object with a text
            list(read(source(path, format=Format.JSONL)))
        assert caught.value.path == str(path)
        assert isinstance(caught.value.line, int)
        bad: list[SourceError] = []
        kept: list[Record] = []
        try:
            kept += read(source(path, format=Format.JSONL), bad.append)
        except SourceError as error:  # UTF-16, or nothing in the file
            bad.append(error)
        assert not kept
        assert str(caught.value) == str(bad[0])
        if path.stem == "y_object_basic":
            assert caught.value.reason == "no field 'text'; the fields are: 'asd'"


# --- csv and tsv


@pytest.mark.usefixtures("here")
class TestTables:
    def test_text_key_and_all_other_columns_as_metadata(self) -> None:
        content = 'key,text,lang,note\r\na,"My name, Aun",en,\r\n\r\nb," two\r\nlines ",th,"say ""hi"""\r\n'
        assert records("a.csv", content) == [
            Record("My name, Aun", "a", {"lang": "en", "note": ""}),
            Record(" two\r\nlines ", "b", {"lang": "th", "note": 'say "hi"'}),
        ]

    def test_a_tsv_keeps_its_quotes(self) -> None:
        content = 'text\tlang\n"Network Science" is broad\ten\n"Hello"\ten\n"a, b\t"\n\u2028\t\n'
        assert records("a.tsv", content) == [
            Record('"Network Science" is broad', None, {"lang": "en"}),
            Record('"Hello"', None, {"lang": "en"}),
            Record('"a, b', None, {"lang": '"'}),
            Record("\u2028", None, {"lang": ""}),
        ]

    def test_a_tsv_cell_that_only_a_csv_writer_can_have_made_is_unquoted(self) -> None:
        stream = io.StringIO()
        texts = ['He said "hi"', '"', '""', 'a "b" "c"', "plain", '"Hello" she said', '5" nails']
        csv.writer(stream, delimiter="\t").writerows([["text", "n"], *([text, "1"] for text in texts)])
        assert [record.text for record in records("a.tsv", stream.getvalue())] == texts

    def test_a_tsv_with_a_quoted_header_is_refused(self) -> None:
        assert refused("a.tsv", '"id"\t"text"\n"1"\t"a"\n')[1].startswith("the header is quoted as in csv")

    def test_a_list_without_a_header_does_not_lose_its_first_sentence(self) -> None:
        assert refused("a.csv", "A man.\nA dog.\n") == (1, "no column 'text'; the columns are: 'A man.'")
        assert records("a.csv", "A man.\nA dog.\n", text_column="A man.") == [Record("A dog.")]

    def test_upper_case_and_spaces_in_a_column_name_matter_only_between_several(self) -> None:
        assert records("a.csv", "KEY, Text \n1,a\n") == [Record("a", "1")]
        assert records("a.csv", "Text,text\na,b\n") == [Record("b", None, {"Text": "a"})]
        assert refused("a.csv", "Text,TEXT\na,b\n") == (1, "several columns are called 'text': 'Text', 'TEXT'")

    def test_columns_can_be_named(self) -> None:
        content = "id,text,body\n1,a,b\n"
        assert records("a.csv", content, text_column="Body", key_column="id") == [Record("b", "1", {"text": "a"})]
        named = "; the columns are: 'id', 'text', 'body'"
        assert refused("a.csv", content, text_column="x") == (1, "no column 'x'" + named)
        assert refused("a.csv", content, key_column="x") == (1, "no column 'x'" + named)
        assert refused("a.csv", content, key_column="TEXT") == (1, "'text' is the text already" + named)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("a,b\n1,2\n", "no column 'text'; the columns are: 'a', 'b'"),
            (",text\n0,a\n", "column 1 of the header has no name; the columns are: '', 'text'"),
            ("text,x,x\n", "the header names a column twice: 'x'"),
            ("id;text\n1;a\n", "the header is one column, 'id;text', but looks separated by semicolons"),
            ("id\ttext\n1\ta\n", "the header is one column, 'id\\ttext', but looks separated by tabs"),
            ('"text\n', "a quote is opened and never closed"),
            (b"text,\xe9\n", "byte 6 of the line (0xE9) is not UTF-8"),
        ],
    )
    def test_a_bad_header_is_an_error_even_where_bad_rows_are_left_out(self, content: bytes, reason: str) -> None:
        with pytest.raises(SourceError):
            with_bad_rows("a.csv", content)
        assert refused("a.csv", content) == (1, reason)

    def test_a_header_may_follow_blank_lines_and_is_named_by_its_own(self) -> None:
        assert refused("a.csv", "\n\r\na,b\n1,2\n") == (3, "no column 'text'; the columns are: 'a', 'b'")

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ("a", "1 field where the header has 2"),
            ('"a\nb",c,d', "3 fields where the header has 2"),
            ("1,", "the text is empty"),
            ('1,""', "the text is empty"),
            ('1,"\n "', "the text is empty"),
            (",a", "a key is the empty string"),
            ('1,"a" b', "not valid CSV: ',' expected after '\"'"),
            ("1,a\rb", "a carriage return outside quotes, with no line feed"),
        ],
    )
    def test_a_bad_row_is_named_by_the_line_where_it_begins(self, row: str, reason: str) -> None:
        content = f'key,text\n1,"one\ntwo"\n{row}\n2,last\n'
        assert refused("a.csv", content) == (4, reason)
        assert with_bad_rows("a.csv", content) == (["one\ntwo", "last"], [(4, reason)])

    def test_rows_where_nothing_is_written_are_separators(self) -> None:
        assert records("a.csv", "\n \ntext,lang\n\n,\na,en\n ,\t\r\nb,\n,\n") == [
            Record("a", None, {"lang": "en"}),
            Record("b", None, {"lang": ""}),
        ]
        assert refused("a.csv", 'text\n\n""\n') == (3, "the text is empty")

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (b"\xe9", "byte 3 of the line (0xE9) is not UTF-8"),
            (b"\0", "byte 3 of the line is NUL, so this is not UTF-8 text"),
        ],
    )
    def test_bad_bytes_are_named_by_their_own_line(self, raw: bytes, reason: str) -> None:
        content = b'text\n"one\ntw' + raw + b'"\nlast\n'
        assert with_bad_rows("a.csv", content) == (["last"], [(3, reason)])

    def test_of_several_bad_bytes_in_a_row_the_first_is_named(self) -> None:
        assert refused("a.csv", b'text\n"\xe9\n\xff"\n') == (2, "byte 2 of the line (0xE9) is not UTF-8")

    def test_a_quote_never_closed_is_named_where_its_row_begins(self) -> None:
        reason = "a quote is opened and never closed, in the row of lines 3 to 5"
        assert with_bad_rows("a.csv", 'text\na\n"b\nc\nd\n') == (["a"], [(3, reason)])

    def test_a_field_above_the_limit_of_csv_is_a_bad_row_and_nothing_of_it_is_taken_for_records(self) -> None:
        before = csv.field_size_limit()
        long = "a line of a long text\n" * (2 * before // 22)
        texts, bad = with_bad_rows("a.csv", f'text\nfirst\n"{long}"\nlast\n')
        end = 3 + long.count("\n")
        assert texts == ["first", "last"]
        assert bad == [(3, f"a field is longer than {before:,} characters, in the row of lines 3 to {end}")]
        assert with_bad_rows("a.tsv", f'text\nfirst\n"{"x" * before}\nlast\n')[0] == ["first", "last"]
        assert csv.field_size_limit() == before
        with pytest.raises(SourceError, match=r"\.jsonl"):
            records("a.csv", f'text\n"{long}"\n')

    @needs_data
    @pytest.mark.parametrize(
        ("name", "text_column", "expected"),
        [
            (
                "comma_in_quotes",
                "city",
                [("Anytown, WW", {"first": "John", "last": "Doe", "address": "120 any st.", "zip": "08123"})],
            ),
            ("empty", "a", [("1", {"b": "", "c": ""}), ("2", {"b": "3", "c": "4"})]),
            ("empty_crlf", "a", [("1", {"b": "", "c": ""}), ("2", {"b": "3", "c": "4"})]),
            ("escaped_quotes", "b", [('ha "ha" ha', {"a": "1"}), ("4", {"a": "3"})]),
            ("json", "val", [('{"type": "Point", "coordinates": [102.0, 0.5]}', None)]),
            (
                "newlines",
                "a",
                [
                    ("1", {"b": "2", "c": "3"}),
                    ("Once upon \na time", {"b": "5", "c": "6"}),
                    ("7", {"b": "8", "c": "9"}),
                ],
            ),
            (
                "newlines_crlf",
                "a",
                [
                    ("1", {"b": "2", "c": "3"}),
                    ("Once upon \na time", {"b": "5", "c": "6"}),
                    ("7", {"b": "8", "c": "9"}),
                ],
            ),
            ("quotes_and_newlines", "b", [('ha \n"ha" \nha', {"a": "1"}), ("4", {"a": "3"})]),
            ("simple", "c", [("3", {"a": "1", "b": "2"})]),
            ("simple_crlf", "c", [("3", {"a": "1", "b": "2"})]),
            ("utf8", "c", [("3", {"a": "1", "b": "2"}), ("\u02a4", {"a": "4", "b": "5"})]),
        ],
    )
    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
    def test_csv_spectrum(self, name: str, text_column: str, expected: list[Any], line_end: bytes) -> None:
        # The files that are called crlf have lost their CR, so both ends are made here.
        content = (CSV_SPECTRUM / f"{name}.csv").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", line_end)
        found = [
            (record.text.replace("\r\n", "\n"), record.metadata)
            for record in records("a.csv", content, text_column=text_column)
        ]
        assert found == expected

    @needs_data
    def test_every_row_of_the_sts_benchmark_is_read_as_it_is(self) -> None:
        path = DATA / "stsb" / "dev.tsv"
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:] if line]
        assert len(rows) == 1500
        assert list(read(source(path, text_column="sentence1"))) == [
            Record(first, None, {"score": score, "sentence2": second}) for score, first, second in rows
        ]


# --- where it comes from


@pytest.mark.usefixtures("here")
class TestSource:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("a.txt", Format.TXT),
            ("a.TXT", Format.TXT),
            ("a.jsonl", Format.JSONL),
            ("a.NdJson", Format.JSONL),
            ("a.csv", Format.CSV),
            ("b.txt.tsv", Format.TSV),
        ],
    )
    def test_the_suffix_says_the_format(self, name: str, expected: Format) -> None:
        Path(name).touch()
        assert source(name) == Source(name, expected, None, None)
        assert source(Path(name), format=Format.CSV).format is Format.CSV

    @pytest.mark.parametrize("name", ["a", "a.md", "a.json", "a.txt.gz", "a.zip", ".txt"])
    def test_an_unknown_suffix_is_an_error_that_lists_the_formats(self, name: str) -> None:
        Path(name).touch()
        with pytest.raises(
            SourceError, match=r"--format: txt \(one sentence a line\); jsonl \(.*\); csv \(.*\); tsv \("
        ):
            source(name)

    def test_the_values_of_format_are_what_people_type(self) -> None:
        assert [each.value for each in Format] == ["txt", "jsonl", "csv", "tsv"]
        assert Format("csv") is Format.CSV

    @pytest.mark.parametrize(
        ("words", "advice"),
        [
            ("My name is Aun", 'vecindex add --text "My name is Aun"'),
            ("it's", 'vecindex add --text "it\'s"'),
            ('say "hi" $HOME', "vecindex add --text 'say \"hi\" $HOME'"),
            ("a\nb", 'vecindex add --text "a b"'),
            ("word " * 2000, 'vecindex add --text "' + ("word " * 12).rstrip() + '..."'),
            ("a\0b", 'vecindex add --text "a\0b"'),
            ("missing.txt", 'vecindex add --text "missing.txt"'),
        ],
    )
    def test_a_path_that_does_not_exist_suggests_text(self, words: str, advice: str) -> None:
        with pytest.raises(SourceError) as caught:
            source(words)
        error = caught.value
        assert (error.path, error.line, error.reason) == (words, None, "no such file")
        assert error.advice == "To add this as a sentence: " + advice

    def test_a_directory_is_an_error_that_says_to_name_files(self, here: Path) -> None:
        (here / "notes.txt").mkdir()
        with pytest.raises(SourceError, match=r"^notes\.txt: is a directory\. Name the files in it"):
            source("notes.txt")

    def test_a_file_that_cannot_be_opened_or_read_is_a_source_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("a.txt").write_text("a\nb\n")
        readable = source("a.txt")

        class Failing(io.BytesIO):
            def readline(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 0:
                    raise OSError(5, "Input/output error")
                return super().readline(size)

        reading = read(Source("a.txt", Format.TXT, copy=Failing(b"a\nb\n")))
        assert next(reading) == Record("a")
        with pytest.raises(SourceError, match=r"^a\.txt:2: cannot be read: Input/output error"):
            next(reading)
        Path("a.txt").unlink()
        with pytest.raises(SourceError, match=r"^a\.txt: cannot be read: No such file"):
            next(read(readable))

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission_is_a_source_error(self) -> None:
        Path("a.txt").write_text("a\n")
        Path("a.txt").chmod(0)
        with pytest.raises(SourceError, match=r"^a\.txt: cannot be read: Permission denied"):
            next(read(source("a.txt")))

    @pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv"])
    @pytest.mark.parametrize("content", ["", "\ufeff", "\n\r\n", "\ufeff\n", " \n\t\v\f\r\n"])
    def test_a_source_that_holds_nothing_is_an_error(self, name: str, content: str) -> None:
        assert refused(name, content) == (1, "holds no sentences")

    def test_a_table_with_only_a_header_holds_nothing(self) -> None:
        assert refused("a.csv", "key,text\n\n") == (1, "holds no sentences")

    def test_a_source_of_bad_rows_only_is_not_called_empty(self) -> None:
        assert with_bad_rows("a.csv", "key,text\nx\n") == ([], [(2, "1 field where the header has 2")])

    def test_one_column_cannot_be_text_and_key(self) -> None:
        with pytest.raises(InvalidInput, match="cannot both be 'id'"):
            source("a.csv", text_column="id", key_column="id")

    def test_a_source_can_be_read_again(self) -> None:
        Path("a.txt").write_text("a\nb\n")
        notes = source("a.txt")
        assert list(read(notes)) == list(read(notes)) == [Record("a"), Record("b")]

    def test_memory_does_not_grow_with_the_file(self) -> None:
        Path("a.txt").write_bytes(b"The quick brown fox jumps over the lazy dog.\n" * 100_000)
        tracemalloc.start()
        try:
            assert sum(1 for _ in read(source("a.txt"))) == 100_000
            assert tracemalloc.get_traced_memory()[1] < 200_000
        finally:
            tracemalloc.stop()


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    return stream


class TestStandardInput:
    def test_it_is_txt_unless_said_and_can_be_read_twice(self, stdin: io.BytesIO) -> None:
        stdin.write(b"My name is Aun\n\nIt rains.")
        stdin.seek(0)
        with source("-") as given:
            assert given == Source("-", Format.TXT)
            assert list(read(given)) == list(read(given)) == [Record("My name is Aun"), Record("It rains.")]

    def test_more_than_fits_in_memory_goes_to_a_file(self, stdin: io.BytesIO) -> None:
        stdin.write(b"x" * 99 + b"\n")
        stdin.seek(0)
        stdin.write((b"x" * 99 + b"\n") * 200_000)
        stdin.seek(0)
        with source("-") as given:
            assert [sum(1 for _ in read(given)) for _ in range(2)] == [200_000, 200_000]

    def test_errors_call_it_stdin(self, stdin: io.BytesIO) -> None:
        stdin.write(b'{"text": "a"}\n{}\n')
        stdin.seek(0)
        with source("-", format=Format.JSONL) as given, pytest.raises(SourceError) as caught:
            list(read(given))
        assert (caught.value.path, caught.value.line) == ("<stdin>", 2)

    def test_nothing_in_it_is_an_error(self, stdin: io.BytesIO) -> None:
        with source("-") as given, pytest.raises(SourceError, match=r"^<stdin>:1: holds no sentences"):
            list(read(given))

    def test_a_closed_one_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(SourceError, match=r"^<stdin>: is closed"):
            source("-")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_named_pipe_can_be_read_twice_too(self, here: Path) -> None:
        os.mkfifo("pipe.txt")
        writer = threading.Thread(target=lambda: Path("pipe.txt").write_text("a\nb\n"))
        writer.start()
        with source("pipe.txt") as given:
            writer.join()
            assert list(read(given)) == list(read(given)) == [Record("a"), Record("b")]


# --- for all inputs


def read_bytes(content: bytes, format: Format, **options: Any) -> list[Record]:
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        return list(read(Source("x", format, copy=stream, **options)))


def storable(**limits: Any) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), **limits)


SENTENCES = storable(min_size=1).filter(lambda text: text.strip(" \t\n\r\v\f"))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | storable(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.builds(
    Record,
    SENTENCES,
    st.none() | storable(min_size=1),
    st.none() | st.dictionaries(NAMES, JSON_VALUES, max_size=3),
)


@settings(deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=5), st.booleans(), st.sampled_from(["\n", "\r\n", "\n \n"]))
def test_what_is_written_as_jsonl_is_read_the_same(wanted: list[Record], ascii_only: bool, end: str) -> None:
    rows = [{"text": each.text, "key": each.key, "metadata": each.metadata} for each in wanted]
    content = end.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    assert read_bytes(content.encode(), Format.JSONL) == wanted


# csv cannot hold NUL.
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELLS.filter(bool), CELLS.filter(lambda text: text.strip(" \t\n\r\v\f")), CELLS), min_size=1),
    # Before Python 3.13 csv.writer leaves a CR bare where lines end in LF alone, unless it quotes all.
    st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)]),
)
def test_what_is_written_as_csv_is_read_the_same(rows: list[tuple[str, str, str]], style: Any) -> None:
    end, quoting = style
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end, quoting=quoting).writerows([("key", "text", "note"), *rows])
    expected = [Record(text, key, {"note": note}) for key, text, note in rows]
    assert read_bytes(stream.getvalue().encode(), Format.CSV) == expected


PLAIN_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\0\t\r\n"'), min_size=1)


@settings(deadline=None)
@given(st.lists(st.tuples(PLAIN_CELLS.filter(lambda text: text.strip(" \v\f")), PLAIN_CELLS), min_size=1))
def test_what_is_written_as_tsv_is_read_the_same(rows: list[tuple[str, str]]) -> None:
    content = "".join(f"{text}\t{note}\n" for text, note in [("text", "note"), *rows])
    assert read_bytes(content.encode(), Format.TSV) == [Record(text, None, {"note": note}) for text, note in rows]


GARBAGE = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [b"text", b",", b"\t", b'"', b"\n", b"\r", b"\r\n", b"{", b"}", b"[", b":", b'"text": "a"', b"\xe9"]
    )
    | st.sampled_from(
        [b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"1e999", b"NaN", b"\\ud800", b" ", b"a", "\u2028".encode()]
    ),
    max_size=40,
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(GARBAGE, st.sampled_from(Format))
@example(b'text\n"', Format.CSV)
@example(b'text,key\n"\0"x\r\r\n', Format.CSV)
def test_garbage_is_read_or_refused_with_a_line_and_never_anything_else(content: bytes, format: Format) -> None:
    refusal: SourceError | None = None
    found: list[Record] = []
    try:
        found += read_bytes(content, format)
    except SourceError as error:
        refusal = error
    if refusal is None:
        assert found
    else:
        assert refusal.line in range(1, content.count(b"\n") + 2)
    bad: list[SourceError] = []
    kept: list[Record] = []
    raised = False
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        try:
            kept += read(Source("x", format, copy=stream), bad.append)
        except SourceError:
            raised = True
    assert raised != bool(kept or bad)
    assert (refusal is None) == (not raised and not bad)
