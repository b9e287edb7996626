"""Reading sources: where records come from, line by line, and for every bad line its file and number."""

from __future__ import annotations

import io
import os
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from vecindex.errors import InvalidInput, SourceError
from vecindex.sources import Format, Source, lines, read, read_options, source
from vecindex.values.records import Record

from ..support.source_files import DATA, needs_data, records, refused, with_bad_rows

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

    def test_lines_end_at_lf_cr_lf_and_cr_and_nowhere_else(self) -> None:
        text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
        content = f"{text}\n{text} 2\r{text} 3\r\n\r\r\n{text} 6\r"
        assert records("a.txt", content) == [Record(text), *(Record(f"{text} {n}") for n in (2, 3, 6))]

    @pytest.mark.parametrize("chunk", range(1, 9))
    def test_a_line_end_may_lie_across_two_reads(self, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "_CHUNK", chunk)
        content = b"a\r\nbc\r\r\nd\n\re\r"
        found = list(lines.lines(io.BytesIO(content), "a.txt"))
        assert found == list(enumerate([b"a\r\n", b"bc\r", b"\r\n", b"d\n", b"\r", b"e\r"], start=1))

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
    @pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a.jsonl"])
    def test_line_ends_of_all_kinds_count_the_same(self, name: str, end: str) -> None:
        bad = b"\xff"
        rows = [b'{"text": "one"}', bad, b'{"text": "three"}'] if name == "a.jsonl" else [b"one", bad, b"three"]
        header = [b"text"] if name in ("a.csv", "a.tsv") else [b""]
        content = end.encode().join([*header, *rows])
        texts, refusals = with_bad_rows(name, content)
        assert (texts, [line for line, _ in refusals]) == (["one", "three"], [3])

    def test_a_byte_order_mark_at_the_start_is_dropped_and_only_there(self) -> None:
        assert records("a.txt", "\ufeff\ufeffa\n\ufeffb") == [Record("\ufeffa"), Record("\ufeffb")]

    def test_bytes_that_are_not_utf8_are_named_with_line_and_byte(self) -> None:
        content = b"good\n\n\xc3\xa9t\xe9\nlast\n"
        assert refused("a.txt", content) == (3, "byte 4 of the line (0xE9) is not UTF-8")
        assert with_bad_rows("a.txt", content) == (["good", "last"], [(3, "byte 4 of the line (0xE9) is not UTF-8")])

    def test_utf16_that_was_appended_is_named(self) -> None:
        content = b"one\n" + "two\n".encode("utf-16-le").join([b"\xff\xfe", b""])
        reason = "the line begins with a UTF-16 byte order mark (FF FE), but the file is UTF-8"
        assert refused("a.txt", content) == (2, reason)

    @pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xff"])
    def test_surrogates_and_overlong_forms_are_not_utf8(self, raw: bytes) -> None:
        assert refused("a.txt", b"ab" + raw)[1].startswith("byte 3 of the line (0x")

    def test_nul_is_not_text(self) -> None:
        assert refused("a.txt", b"a\nb\0c\n") == (2, "byte 2 of the line is NUL, so this is not UTF-8 text")

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
        assert source(name) == Source(name, expected)
        assert source(Path(name), format=Format.CSV).format is Format.CSV

    @pytest.mark.parametrize("name", ["a", "a.log", "a.xml", "a.zip", ".txt"])
    def test_an_empty_file_of_any_name_holds_no_sentences(self, name: str) -> None:
        Path(name).touch()
        with pytest.raises(SourceError, match="holds no sentences"):
            list(read(source(name)))

    @pytest.mark.parametrize(
        ("name", "start", "what", "advice"),
        [
            (
                "a b.parquet",
                b"PAR1\x15\x04",
                "a Parquet file",
                "texts together with their vectors: vecindex import 'a b.parquet'",
            ),
            ("a.parquet", b"", "a Parquet file", "texts together with their vectors: vecindex import a.parquet"),
            (
                "v.npy",
                b"\x93NUMPY\x01\0",
                "a NumPy array (npy)",
                "It holds no texts. To add an export with its vectors",
            ),
            ("v.faiss", b"IxF2\x80\x01\0", "a FAISS index", "name its folder: vecindex import DIR"),
            ("v.npz", b"PK\x03\x04\x14\0\0\0a.npy", "an archive of NumPy arrays (npz)", "vecindex import DIR"),
            ("a.bz2", b"BZh91AY&SY\x94", "a bzip2 file", "bunzip2 -c a.bz2"),
            ("a.xz", b"\xfd7zXZ\0\0", "an xz file", "xz -dc a.xz"),
            ("a.zip", b"PK\x03\x04\x14\0\0\0a.txt", "a zip archive", "Unpack it and add its files"),
            ("a.docx", b"PK\x03\x04\x14\0[Content_Types].xml\0word/document.xml", "a Word document", "Write its texts"),
            ("a.xlsx", b"PK\x03\x04\x14\0xl/workbook.xml", "an Excel workbook", "Save it as csv and add that"),
            (
                "a.pdf",
                b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
                "a PDF document",
                "Write its texts to a .txt, .csv or .jsonl file",
            ),
            ("a.db", b"SQLite format 3\0\x10", "an SQLite database", "sqlite3 -header -csv a.db"),
            ("a.png", b"\x89PNG\r\n\x1a\n", "a PNG image", "Write its texts"),
            ("a.jpg", b"\xff\xd8\xff\xe0", "a JPEG image", "Write its texts"),
            ("a.webp", b"RIFF\x24\x01\0\0WEBP", "a WebP image", "Write its texts"),
            ("a.pkl", b"\x80\x04\x95\x0b\0", "a Python pickle", "Write its texts"),
        ],
    )
    def test_a_file_that_is_not_text_is_called_what_it_is(
        self, name: str, start: bytes, what: str, advice: str
    ) -> None:
        Path(name).write_bytes(start)
        readable = {"a Parquet file", "a Word document", "an Excel workbook", "a PDF document", "an SQLite database"}
        formats = ([] if what in readable else [None]) + ([Format.CSV] if start else [])
        for format in formats:
            with pytest.raises(SourceError) as caught:
                source(name, format=format)
            error = caught.value
            assert (error.path, error.line, error.reason) == (name, None, f"looks like {what}, not text")
            assert advice in error.command_advice

    @pytest.mark.parametrize(
        "text", ["PAR1 is a word", "%PDF-1.7 is how such files begin", "BZh", "Iwo Jima", "é" * 600]
    )
    def test_a_text_that_begins_like_another_kind_of_file_is_a_text(self, text: str) -> None:
        assert records("a.txt", text) == [Record(text)]

    def test_the_values_of_format_are_what_people_type(self) -> None:
        assert {"txt", "jsonl", "csv", "tsv"} <= {each.value for each in Format}
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
        assert error.command_advice == "To add this as a sentence: " + advice

    def test_a_directory_is_an_error_that_says_to_name_files(self, here: Path) -> None:
        (here / "notes.txt").mkdir()
        with pytest.raises(SourceError, match=r"^notes\.txt: is a directory\. Name the files in it"):
            source("notes.txt")

    def test_the_folder_of_an_export_is_for_import(self, here: Path) -> None:
        (here / "an export").mkdir()
        (here / "an export" / "records.jsonl").touch()
        with pytest.raises(SourceError, match=r"with its vectors: index\.import_\(path\)") as caught:
            source("an export")
        assert caught.value.command_advice.endswith("with its vectors: vecindex import 'an export'")

    def test_a_file_that_cannot_be_opened_or_read_is_a_source_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("a.txt").write_text("a\nb\n")
        readable = source("a.txt")

        class Failing(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 0:
                    raise OSError(5, "Input/output error")
                return super().read(2)

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
            read_options(text_column="id", key_column="id")

    def test_a_source_can_be_read_again(self) -> None:
        Path("a.txt").write_text("a\nb\n")
        notes = source("a.txt")
        assert list(read(notes)) == list(read(notes)) == [Record("a"), Record("b")]

    def test_memory_does_not_grow_with_the_file(self) -> None:
        Path("a.txt").write_bytes((b"The quick brown fox jumps over the lazy dog. " * 5 + b"\n") * 20_000)
        tracemalloc.start()
        try:
            assert sum(1 for _ in read(source("a.txt"))) == 20_000
            assert tracemalloc.get_traced_memory()[1] < 200_000
        finally:
            tracemalloc.stop()


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    return stream


class TestStandardInput:
    def test_what_is_not_text_is_called_what_it_is(self, stdin: io.BytesIO) -> None:
        stdin.write(b"BZh91AY&SY\x94")
        stdin.seek(0)
        with pytest.raises(
            SourceError, match=r"<stdin>: looks like a bzip2 file, not text\. Unpack it: bunzip2 -c FILE"
        ):
            source("-")

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
