"""Reading jsonl, csv and tsv: exactly the records that are there, and for every bad row its file and line."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from vecindex.errors import SourceError
from vecindex.sources import Format, read, read_options, source
from vecindex.values.records import Record

from ..support.source_files import DATA, needs_data, records, refused, with_bad_rows

BAD_JSON = sorted((DATA / "badinput" / "json").glob("*.json"))
CSV_SPECTRUM = DATA / "badinput" / "csv"


# --- jsonl

GOOD = '{"text": "good"}\n'


@pytest.mark.usefixtures("here")
class TestJsonl:
    def test_a_byte_order_mark_within_a_file_is_named(self) -> None:
        reason = "the line begins with a byte order mark (U+FEFF), probably because files were joined"
        assert refused("a.jsonl", "\ufeff" + GOOD + "\ufeff" + GOOD) == (2, reason)
        assert with_bad_rows("a.jsonl", "\ufeff" + GOOD + "\ufeff" + GOOD) == (["good"], [(2, reason)])

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
        assert refused("a.jsonl", content) == (2, "both beside and inside 'metadata': 'lang'")

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
            ('{"text": ["a"]}', "the field 'text' must be text, not an array"),
            ('{"text": "a", "key": true}', "the field 'key' must be a string or an integer, not a boolean"),
            ('{"text": "a", "key": 1.0}', "the field 'key' must be a string or an integer, not a number"),
            ('{"text": "a", "key": ""}', "a key is the empty string"),
            ('{"text": "a", "metadata": "x"}', "the field 'metadata' must be an object or null, not a string"),
            ('{"text": "a", "x": NaN}', "NaN is not JSON"),
            ('{"text": "a", "x": [-Infinity]}', "-Infinity is not JSON"),
            ('{"text": "a", "x": -1e400}', "the number -1e400 is too large for a double"),
            ('{"text": "a", "text": "b"}', "repeated in one object: 'text'"),
            ('{"text": "a", "metadata": {"x": {"y": 1, "y": 1}}}', "repeated in one object: 'y'"),
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
        with pytest.raises(SourceError, match=r"^a\.jsonl:1: not valid JSON .* a JSON array is not JSONL, "):
            list(read(source("a.jsonl")))

    def test_a_column_that_a_row_lacks_is_named(self) -> None:
        row = '{"text": "a", "id": null}'
        assert refused("a.jsonl", row, text_column="body") == (1, "no field 'body'; the fields are: 'text', 'id'")
        assert refused("a.jsonl", row, key_column="uri") == (1, "no field 'uri'; the fields are: 'text', 'id'")
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
            Record("My name, Aun", "a", {"lang": "en"}),
            Record(" two\r\nlines ", "b", {"lang": "th", "note": 'say "hi"'}),
        ]

    def test_a_tsv_keeps_its_quotes(self) -> None:
        content = 'text\tlang\n"Network Science" is broad\ten\n"Hello"\ten\n"a, b\t"\n\u2028\t\n'
        assert records("a.tsv", content) == [
            Record('"Network Science" is broad', None, {"lang": "en"}),
            Record('"Hello"', None, {"lang": "en"}),
            Record('"a, b', None, {"lang": '"'}),
            Record("\u2028", None, {}),
        ]

    def test_a_tsv_cell_that_only_a_csv_writer_can_have_made_is_unquoted(self) -> None:
        stream = io.StringIO()
        texts = ['He said "hi"', '"', '""', 'a "b" "c"', "plain", '"Hello" she said', '5" nails']
        csv.writer(stream, delimiter="\t").writerows([["text", "n"], *([text, "1"] for text in texts)])
        assert [record.text for record in records("a.tsv", stream.getvalue())] == texts

    def test_a_tsv_with_a_quoted_header_is_read_like_a_csv(self) -> None:
        assert records("a.tsv", '"id"\t"text"\n"1"\t"a\tb"\n', key_column="id") == [Record("a\tb", "1")]

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
        assert refused("a.csv", content, key_column="TEXT") == (1, "'text' is already the text" + named)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("a,b\n1,2\n", "no column 'text'; the columns are: 'a', 'b'"),
            (",text\n0,a\n", "column 1 of the header has no name; the columns are: '', 'text'"),
            ("text,x,x\n", "several columns have the same name: 'x'"),
            ("id;body\n1;a\n", "no column 'text'; the columns are: 'id', 'body'"),
            ("id\tTexts\n1\ta\n", "no column 'text' (did you mean 'Texts'?); the columns are: 'id', 'Texts'"),
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
            (",a", "a key is the empty string"),
            ('1,"a" b', "not valid CSV: ',' expected after '\"'"),
        ],
    )
    def test_a_bad_row_is_named_by_the_line_where_it_begins(self, row: str, reason: str) -> None:
        content = f'key,text\n1,"one\ntwo"\n{row}\n2,last\n'
        assert refused("a.csv", content) == (4, reason)
        assert with_bad_rows("a.csv", content) == (["one\ntwo", "last"], [(4, reason)])

    @pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
    def test_a_first_line_that_names_the_separator_is_understood(self, first: str) -> None:
        content = f'\ufeff{first}\r\ntext;lang\r\n"a;b";en\r\nx\r\n'
        assert with_bad_rows("a.csv", content) == (["a;b"], [(4, "1 field where the header has 2")])

    def test_rows_where_nothing_is_written_are_separators(self) -> None:
        assert records("a.csv", "\n \ntext,lang\n\n,\na,en\n ,\t\r\nb,\n,\n") == [
            Record("a", None, {"lang": "en"}),
            Record("b", None, {}),
        ]

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
    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
    def test_csv_spectrum(self, name: str, text_column: str, expected: list[Any], line_end: bytes) -> None:
        # The files that are called crlf have lost their CR, so both ends are made here.
        content = (CSV_SPECTRUM / f"{name}.csv").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", line_end)
        found = [
            (record.text.replace("\r\n", "\n").replace("\r", "\n"), record.metadata)
            for record in records("a.csv", content, text_column=text_column, types="text")
        ]
        assert found == expected

    @needs_data
    def test_every_row_of_the_sts_benchmark_is_read_as_it_is(self) -> None:
        path = DATA / "stsb" / "dev.tsv"
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:] if line]
        assert len(rows) == 1500
        assert list(read(source(path, read_options(text_column="sentence1", types="text")))) == [
            Record(first, None, {"score": score, "sentence2": second}) for score, first, second in rows
        ]
