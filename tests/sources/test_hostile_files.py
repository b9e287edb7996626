"""Files that change, end, or are not files while they are read: each has a stated behaviour."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vecindex.errors import SourceError
from vecindex.sources import Format, lines, read, source
from vecindex.sources.opening.files import AsOpened
from vecindex.sources.texts import whole_text

from ..support.source_files import refused, with_bad_rows

pytestmark = pytest.mark.usefixtures("here")
ROWS = "".join(f"row {number}\n" for number in range(100_000))


# --- that change


def test_a_file_that_grows_is_read_as_it_was_when_reading_began() -> None:
    Path("a.txt").write_text(ROWS)
    reading = read(source("a.txt"))
    assert next(reading).text == "row 0"
    with open("a.txt", "a") as log:
        log.write(ROWS)
    assert sum(1 for _ in reading) == 99_999
    assert sum(1 for _ in read(source("a.txt"))) == 200_000


def test_a_file_that_becomes_shorter_is_an_error() -> None:
    Path("a.txt").write_text(ROWS)
    reading = read(source("a.txt"))
    assert next(reading).text == "row 0"
    with open("a.txt", "r+") as stream:
        stream.truncate(100_000)
    with pytest.raises(SourceError, match=r"^a\.txt: became [\d,]+ bytes shorter while it was read"):
        list(reading)


def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end() -> None:
    Path("a.txt").write_text(ROWS)
    reading = read(source("a.txt"))
    next(reading)
    Path("a.txt").unlink()
    assert sum(1 for _ in reading) == 99_999


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was() -> None:
    Path("a.txt").write_text(ROWS)
    reading = read(source("a.txt"))
    next(reading)
    Path("b.txt").write_text("other\n")
    Path("b.txt").replace("a.txt")
    assert sum(1 for _ in reading) == 99_999


def test_a_file_that_is_gone_before_it_is_read_is_an_error() -> None:
    Path("a.txt").write_text("one\n")
    given = source("a.txt")
    Path("a.txt").unlink()
    with pytest.raises(SourceError, match=r"^a\.txt: cannot be read: No such file or directory"):
        list(read(given))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system has no such files")
def test_a_file_that_the_system_makes_up_has_no_size_and_is_read() -> None:
    assert any(record.text.startswith("Name:") for record in read(source("/proc/self/status", format=Format.TXT)))


# --- that are none


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom"])
def test_a_device_without_an_end_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match=rf"^{path}: is a device, which has no end"):
        source(path, format=Format.TXT)


def test_the_null_device_holds_nothing() -> None:
    with source(os.devnull, format=Format.TXT) as given, pytest.raises(SourceError, match="holds no sentences"):
        list(read(given))


def test_a_socket_is_refused() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.txt")
        with pytest.raises(SourceError, match=r"^a\.txt: is a socket, which has no end"):
            source("a.txt")


def test_a_pipe_that_closes_in_the_middle_of_a_line_ends_the_text() -> None:
    os.mkfifo("pipe.txt")

    def write() -> None:
        with open("pipe.txt", "wb") as pipe:
            pipe.write(b"one\ntwo\nthr")

    writer = threading.Thread(target=write)
    writer.start()
    with source("pipe.txt") as given:
        writer.join()
        assert [record.text for record in read(given)] == ["one", "two", "thr"]


def test_standard_input_has_a_label_for_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n\xff\n")))
    with source("-", label="feed") as given:
        assert (given.name, given.kind, given.path) == ("feed", "stdin", "-")
        with pytest.raises(SourceError, match=r"^feed:2: byte 1 of the line \(0xFF\) is not UTF-8"):
            list(read(given))


def test_a_reader_of_the_output_that_goes_away_is_no_traceback() -> None:
    Path("a.txt").write_text(ROWS)
    program = "from vecindex.sources import read, source\nfor record in read(source('a.txt')): print(record.text)\n"
    command = [sys.executable, "-c", f"import signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n{program}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"row 0\n"
        process.stdout.close()
        assert process.stderr.read() == b""


# --- whose lines are hard


def test_a_line_of_100_mb_is_a_bad_row_and_takes_bounded_memory() -> None:
    with open("a.txt", "wb") as stream:
        stream.write(b"first\n")
        for _ in range(100):
            stream.write(b"x" * 2**20)
        stream.write(b"\nlast\n")
    bad: list[SourceError] = []
    assert [record.text for record in read(source("a.txt"), bad.append)] == ["first", "last"]
    assert [(error.line, error.reason) for error in bad] == [
        (2, f"the line is longer than {lines.MAX_LINE:,} bytes"),
    ]
    with source("a.txt").opened() as stream_, pytest.raises(SourceError, match="has more than 67,108,864 bytes"):
        whole_text(source("a.txt"), stream_)


@pytest.mark.parametrize("end", ['"\n', 'x\n"",\n"\n', '""\n\n"\n'])
def test_a_cell_of_a_csv_that_is_too_long_is_a_bad_row_and_the_next_is_read(end: str) -> None:
    for length in (200_000, lines.MAX_LINE - 10, lines.MAX_LINE + 10, 2 * lines.MAX_LINE):
        with open("a.csv", "w", newline="") as stream:
            stream.write('text\nfirst\n"')
            stream.write("x" * length)
            stream.write(f"{end}last\n")
        bad: list[SourceError] = []
        assert [record.text for record in read(source("a.csv"), bad.append)] == ["first", "last"]
        assert [error.line for error in bad] == [3]


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_row_of_a_csv_that_is_too_long_ends_where_it_ends_in_the_file(
    monkeypatch: pytest.MonkeyPatch, quote: str
) -> None:
    long = f"{quote}a,{quote * 2}b{quote}," * 300_000
    for limit in range(2**20 + 1, 2**20 + 9):
        monkeypatch.setattr(lines, "MAX_LINE", limit)
        Path("a.csv").write_text(f"{quote}text{quote},n\nfirst,1\n{long}\nlast,2\n")
        bad: list[SourceError] = []
        assert [record.text for record in read(source("a.csv"), bad.append)] == ["first", "last"]
        assert [(error.line, error.row) for error in bad] == [(3, None)]


def test_nul_and_mixed_line_ends_are_told_by_line() -> None:
    content = b"one\ntwo\r\nthree\rfo\0ur\r\n\r\nfive"
    reason = "byte 3 of the line is NUL, so this is not UTF-8 text"
    assert with_bad_rows("a.txt", content) == (["one", "two", "three", "five"], [(4, reason)])
    assert refused("a.txt", b"\0" * 5000)[1] == "byte 1 of the line is NUL, so this is not UTF-8 text"


def test_what_was_there_when_a_file_was_opened_is_read_in_parts_of_any_size() -> None:
    content = os.urandom(100_000)
    for size in (1_000, 2**15, 99_999):
        stream = AsOpened(io.BytesIO(content + b"more"), "a", len(content))
        assert b"".join(iter(lambda: stream.read(size), b"")) == content  # noqa: B023
