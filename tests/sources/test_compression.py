"""Compressed texts: unpacked as they are read, whatever they are called, and refused where damaged or too large."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import MissingExtra, SourceError
from vecindex.sources import Format, Source, read, source
from vecindex.sources.opening import compression
from vecindex.sources.texts import whole_text

from ..support.extent import examples

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.usefixtures("here")


def packed_as_zstd(content: bytes) -> bytes:
    """As the command zstd packs: with a checksum."""
    return zstd.compress(content, options={int(zstd.CompressionParameter.checksum_flag): 1})


PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": packed_as_zstd}
NAMES = {".gz": "gzip", ".zst": "Zstandard"}
CONTENTS = {
    "a.txt": "My name is Aun\nIt rains.\n",
    "a.jsonl": '{"text": "My name is Aun"}\n{"text": "It rains."}\n',
    "a.csv": "text\nMy name is Aun\nIt rains.\n",
    "a.TSV": "text\nMy name is Aun\nIt rains.\n",
}


def texts(path: str | Source) -> list[str]:
    return [record.text for record in read(path if isinstance(path, Source) else source(path))]


def refused(path: str) -> str:
    with pytest.raises(SourceError) as caught:
        texts(path)
    assert (caught.value.path, caught.value.line) == (path, None)
    return caught.value.reason


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_compressed_text_has_the_format_of_its_inner_suffix(name: str, suffix: str) -> None:
    path = Path(name + suffix)
    path.write_bytes(PACK[suffix](CONTENTS[name].encode()))
    assert texts(str(path)) == texts(str(path)) == ["My name is Aun", "It rains."]
    assert source(path).digest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", PACK)
def test_what_is_compressed_is_known_by_its_content(suffix: str) -> None:
    Path("a.txt").write_bytes(PACK[suffix](b"My name is Aun\n"))
    assert texts("a.txt") == ["My name is Aun"]
    Path("data.gz").write_bytes(PACK[suffix](b'{"text": "one"}\n{"text": "two"}\n'))
    assert source("data.gz").format is Format.JSONL
    Path("plain.txt.gz").write_bytes(b"My name is Aun\n")  # as some browsers save it
    assert texts("plain.txt.gz") == ["My name is Aun"]


@pytest.mark.parametrize("suffix", PACK)
def test_a_compressed_text_may_be_in_any_encoding(suffix: str) -> None:
    Path("a.md" + suffix).write_bytes(PACK[suffix]("# Été\r\n\r\nL'été à Nîmes.\r\n".encode("utf-16")))
    notes = source("a.md" + suffix)
    with notes.opened() as stream:
        assert whole_text(notes, stream) == "# Été\r\n\r\nL'été à Nîmes.\r\n"


@pytest.mark.parametrize("suffix", PACK)
def test_several_parts_are_one_text(suffix: str) -> None:
    Path("a.txt" + suffix).write_bytes(PACK[suffix](b"one\ntw") + PACK[suffix](b"o\n"))
    assert texts("a.txt" + suffix) == ["one", "two"]


@pytest.mark.parametrize("suffix", PACK)
def test_a_stream_that_is_cut_off_is_an_error_that_says_after_how_much(suffix: str) -> None:
    lines = b"".join(b"%d is the number of this line.\n" % number for number in range(100_000))
    whole = PACK[suffix](lines)
    Path("a.txt" + suffix).write_bytes(whole[: len(whole) // 2])
    reason = refused("a.txt" + suffix)
    assert reason.startswith(f"the {NAMES[suffix]} file ends too early, after ")
    assert 100_000 < int(reason.split("after ")[1].split()[0].replace(",", "")) < len(lines)


@pytest.mark.parametrize("suffix", PACK)
def test_a_damaged_stream_is_an_error(suffix: str) -> None:
    whole = bytearray(PACK[suffix](bytes(range(32, 127)) * 1000))
    whole[len(whole) // 2] ^= 0xFF
    Path("a.txt" + suffix).write_bytes(bytes(whole))
    assert "ends too early" in (reason := refused("a.txt" + suffix)) or "is damaged (" in reason
    Path("a.txt.gz").write_bytes(gzip.compress(b"one\n") + b"garbage")
    assert "is damaged (" in refused("a.txt.gz")


@pytest.mark.parametrize("suffix", PACK)
def test_what_unpacks_to_too_much_is_refused(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a.txt" + suffix
    Path(name).write_bytes(PACK[suffix]((b"one " * 49 + b"one\n") * 10_000))
    assert len(texts(name)) == 10_000  # a ratio of hundreds is no harm while it is small
    monkeypatch.setattr(compression, "RATIO_FROM", 10**6)
    assert refused(name) == f"the {NAMES[suffix]} file unpacks to more than 200 times its size"
    monkeypatch.setattr(compression, "MAX_UNPACKED", 10**5)
    assert refused(name) == f"the {NAMES[suffix]} file unpacks to more than 100,000 bytes"


@pytest.mark.parametrize("suffix", PACK)
def test_memory_does_not_grow_with_what_is_unpacked(suffix: str) -> None:
    name = "a.txt" + suffix
    Path(name).write_bytes(PACK[suffix]((b"The quick brown fox jumps over the lazy dog. " * 10 + b"\n") * 50_000))
    given = source(name)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(given)) == 50_000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_window_that_needs_too_much_memory_is_refused() -> None:
    options = {int(zstd.CompressionParameter.window_log): 28, int(zstd.CompressionParameter.content_size_flag): 0}
    packer = zstd.ZstdCompressor(options=options)
    Path("a.txt.zst").write_bytes(packer.compress(b"one\n" * 9) + packer.flush())
    assert refused("a.txt.zst").startswith("the Zstandard file is damaged (")


def test_compressed_twice_is_refused() -> None:
    Path("a.txt.gz").write_bytes(gzip.compress(gzip.compress(b"one\n")))
    assert refused("a.txt.gz") == "looks like a gzip file, not text"


def test_only_texts_and_mail_are_read_compressed() -> None:
    Path("a.pdf.gz").write_bytes(gzip.compress(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"))
    with source("a.pdf.gz") as given, pytest.raises(SourceError, match="only texts and mail are read"):
        given.opened().__enter__()


def test_standard_input_may_be_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"one\ntwo\n"))))
    with source("-") as given:
        assert texts(given) == texts(given) == ["one", "two"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="part of the standard library")
def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.txt.zst").write_bytes(zstd.compress(b"one\n"))
    monkeypatch.setitem(sys.modules, "backports", None)
    with pytest.raises(MissingExtra, match=r"needs the extra 'zstd'\. Run: pip install 'vecindex\[zstd\]'"):
        source("a.txt.zst")


@examples(300)
@given(st.data())
def test_a_garbled_stream_is_read_or_refused_and_never_anything_else(data: st.DataObject) -> None:
    content = bytearray(PACK[data.draw(st.sampled_from([".gz", ".zst"]))](b"My name is Aun\n" * 9))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    given_ = Source("a.txt", Format.TXT, copy=io.BytesIO(bytes(content[: data.draw(st.integers(0, len(content)))])))
    with contextlib.suppress(SourceError):
        list(read(given_, on_bad=lambda error: None))
