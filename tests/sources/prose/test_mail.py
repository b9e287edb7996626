"""Mail: subjects, texts, quotes and names of attachments, in any state that messages are found in."""

from __future__ import annotations

import gzip
import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex.errors import SourceError
from vecindex.sources.documents import Document
from vecindex.sources.formats import Format
from vecindex.sources.origin import Source
from vecindex.sources.prose import mail
from vecindex.sources.reading import contents

from ...support.extent import examples
from ...support.office_files import mbox, message
from ...support.prose import blocks, check, document, found, texts, with_metadata


def test_a_message_is_a_document_with_its_subject_as_title_and_its_id_as_key() -> None:
    made = message(
        "Rain in Z\u00fcrich",
        "Dear all,\n\nIt rains.\nIt pours.\n",
        From="Aun <aun@example.org>",
        To="Bob <bob@example.org>, c@example.org",
        Date="Fri, 27 Nov 2026 15:20:00 +0100",
        Message_ID="<1@example.org>",
    )
    read = document("a.eml", made.as_bytes())
    assert read.text == "Dear all,\n\nIt rains.\nIt pours."
    assert (read.title, read.key, str(read.origin)) == ("Rain in Z\u00fcrich", "1@example.org", "a.eml")
    assert read.metadata == {
        "from": "Aun <aun@example.org>",
        "to": "Bob <bob@example.org>, c@example.org",
        "date": "2026-11-27T15:20:00+01:00",
    }


def test_quotes_and_the_signature_are_told_apart() -> None:
    made = message("Re: Rain", "> > Does it rain?\n> It does.\nGood.\n\n-- \nAun\nZ\u00fcrich\n")
    assert with_metadata(document("a.eml", made.as_bytes())) == [
        ("Does it rain?\nIt does.", {"quoted": True}),
        ("Good.", {}),
        ("Aun\nZ\u00fcrich", {"signature": True}),
    ]


def test_plain_text_is_preferred_and_attachments_are_named_but_not_read() -> None:
    made = message("Rain", "Plain.")
    made.add_alternative("<p>Rich.</p>", subtype="html")
    made.add_attachment(b"Not read.", maintype="text", subtype="plain", filename="r\u00e4in.txt")
    made.add_attachment(b"\0", maintype="image", subtype="png")
    made.add_attachment(message("Inner", "Not read."))
    read = document("a.eml", made.as_bytes())
    assert texts(read) == ["Plain."]
    assert read.metadata == {"attachments": ["r\u00e4in.txt", "image/png", "message/rfc822"]}


def test_the_text_of_html_is_read_where_there_is_no_plain_text() -> None:
    page = "<title>No</title><h1>Rain</h1><p>It <b>rains</b>.<script>no()</script><p>Z\u00fcrich"
    made = EmailMessage()
    made.set_content(page, subtype="html")
    read = document("a.eml", made.as_bytes())
    assert texts(read) == ["Rain", "It rains.", "Z\u00fcrich"]
    assert [block.whole for block in blocks(read)] == [True, False, False]
    made = message("Rain", " ")
    made.add_alternative("<p>Rich.</p>", subtype="html")
    assert texts(document("a.eml", made.as_bytes())) == ["Rich."]


def test_a_message_without_a_text_has_its_subject_as_text() -> None:
    assert texts(document("a.eml", message("It rains (eom)").as_bytes())) == ["It rains (eom)"]


def test_flowed_lines_are_put_together() -> None:
    raw = (
        b"Subject: a\nContent-Type: text/plain; charset=utf-8; format=flowed\n\n"
        b"A line that \ngoes on.\n From here.\n> It was \n> quoted.\n\n-- \nAun\n"
    )
    assert texts(document("a.eml", raw)) == ["A line that goes on.\nFrom here.", "It was quoted.", "Aun"]
    raw = b"Content-Type: text/plain; format=flowed; delsp=yes\n\nA long wo \nrd.\n"
    assert texts(document("a.eml", raw)) == ["A long word."]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"=?utf-8?q?Z=C3=BCrich?= =?utf-8?b?IGlzdA==?= here", "Z\u00fcrich ist here"),
        (b"=?iso-8859-1?q?Z=FCrich?=", "Z\u00fcrich"),
        (b"=?nonsense?q?Z=FCrich?=", "Z\u00fcrich"),
        (b"=?utf-8?b?not base64!?=", "=?utf-8?b?not base64!?="),
        (b"=?utf-8?b?YQ?=", "a"),
        (b"=?idna?q?a?=", "a"),
        (b"Z\xfcrich", "Z\u00fcrich"),
        (b"Z\xc3\xbcrich", "Z\u00fcrich"),
        (b"folded\n\tline", "folded line"),
    ],
)
def test_headers_in_any_state_are_read(header: bytes, expected: str) -> None:
    assert document("a.eml", b"Subject: " + header + b"\n\nText.\n").title == expected


@pytest.mark.parametrize(
    ("charset", "body", "expected"),
    [
        (b"iso-8859-1", b"Z\xfcrich", "Z\u00fcrich"),
        (b"utf-8", b"Z\xfcrich", "Z\ufffdrich"),
        (b"us-ascii", b"Z\xc3\xbcrich", "Z\u00fcrich"),
        (b"us-ascii", b"Z\xfcrich", "Z\u00fcrich"),
        (b"nonsense", b"Z\xfcrich", "Z\u00fcrich"),
        (b"zlib", b"Zurich", "Zurich"),
        (b"undefined", b"Zurich", "Zurich"),
        (b"shift_jis", "\u96e8".encode("shift_jis"), "\u96e8"),
    ],
)
def test_charsets_in_any_state_are_read(charset: bytes, body: bytes, expected: str) -> None:
    raw = b"Content-Type: text/plain; charset=" + charset + b"\nContent-Transfer-Encoding: 8bit\n\n" + body + b"\n"
    assert document("a.eml", raw).text.strip() == expected


def test_transfer_encodings_in_any_state_are_read() -> None:
    def body(encoding: bytes, text: bytes) -> str:
        return document("a.eml", b"Content-Transfer-Encoding: " + encoding + b"\n\n" + text).text

    assert body(b"quoted-printable", b"Z=C3=BCrich =\nis here =ZZ") == "Z\u00fcrich is here =ZZ"
    assert body(b"base64", b"SXQgcmFpbnMu") == "It rains."
    assert body(b"base64", b"SXQgcmFpbnMu=") == "It rains."
    assert body(b"nonsense", b"It rains.") == "It rains."


def test_dates_that_are_none_are_kept_as_they_are() -> None:
    read = document("a.eml", b"Date: next week\n\nText.\n")
    assert read.metadata == {"date": "next week"}
    assert document("a.eml", b"Date: Fri, 99 Nov 2026 15:20:00 +9999\n\nText.\n").metadata is not None


def test_long_headers_are_cut() -> None:
    read = document("a.eml", b"To: " + b"a@example.org, " * 100_000 + b"\n\nText.\n")
    assert len((read.metadata or {})["to"]) == mail.LONGEST_VALUE


def test_deeply_nested_parts_are_a_bad_row() -> None:
    def nested(depth: int) -> bytes:
        raw = b""
        for n in range(depth):
            raw += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
        return raw + b"\nText.\n"

    for depth in (mail.MAX_NESTING + 2, 5_000):
        (error,) = found("a.eml", nested(depth))
        assert isinstance(error, SourceError)
        assert error.reason == "the message has parts nested more than 50 deep"
    assert texts(document("a.eml", nested(10))) == ["Text."]


def test_a_long_message_is_a_bad_row_and_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "MAX_MESSAGE", 1_000)
    long = message("Long", "word " * 1_000)
    read = found("a.mbox", mbox([message("One", "Text."), long, message("Three", "Text.")]))
    assert [each.message if isinstance(each, SourceError) else each.title for each in read] == [
        "One",
        "a.mbox, message 2: the message is longer than 1,000 bytes",
        "Three",
    ]
    (error,) = found("a.eml", long.as_bytes())
    assert isinstance(error, SourceError)


# --- mailboxes


def test_each_message_of_a_mailbox_has_a_key_and_its_number() -> None:
    first = message("One", "Text one.", Message_ID="<1@x>")
    read = found("a.mbox", mbox([first, first, message("Two", "From here on, lines are escaped.\nFrom me.")]))
    assert [(each.title, each.key, str(each.origin)) for each in read if isinstance(each, Document)] == [
        ("One", "1@x", "a.mbox, message 1"),
        ("One", "1@x (2)", "a.mbox, message 2"),
        ("Two", "message 3", "a.mbox, message 3"),
    ]
    last = read[-1]
    assert isinstance(last, Document)
    assert last.text == "From here on, lines are escaped.\nFrom me."


def test_a_mailbox_of_the_standard_library_is_read(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "a.mbox")
    for n in range(3):
        box.add(message(f"Message {n}", f"Text {n}.\n\nFrom the start.\n"))
    box.close()
    read = list(contents(Source(str(tmp_path / "a.mbox"), Format.MBOX)))
    assert [(each.title, each.text) for each in read if isinstance(each, Document)] == [
        (f"Message {n}", f"Text {n}.\n\nFrom the start.") for n in range(3)
    ]


def test_a_compressed_mailbox_is_read(tmp_path: Path) -> None:
    raw = mbox(message(f"Message {n}", f"Text {n}.") for n in range(3))
    (tmp_path / "a.mbox.gz").write_bytes(gzip.compress(raw))
    assert [record.text for record in vecindex.read(tmp_path / "a.mbox.gz")] == ["Text 0.", "Text 1.", "Text 2."]


def test_lines_that_only_begin_with_from_end_no_message() -> None:
    raw = b"From a Fri Nov 27 15:20:00 2026\nSubject: One\n\nText.\nFrom here to there, it is far.\n\nFrom 10:30 on.\n"
    assert len(found("a.mbox", raw)) == 1


def test_a_file_that_is_no_mailbox_is_refused() -> None:
    with pytest.raises(SourceError, match="is not a mailbox"):
        found("a.mbox", message("One", "Text.").as_bytes())
    assert found("a.mbox", b"\n\n") == []
    assert found("a.eml", b"\n\n") == []


@examples(300)
@given(st.binary(max_size=2_000))
def test_any_bytes_are_a_message(raw: bytes) -> None:
    heads = (
        *(b"", b"Content-Type: multipart/mixed; boundary=b\n\n--b\n", b"Content-Transfer-Encoding: base64\n"),
        *(b"Content-Type: text/html\n\n", b"Content-Type: text/plain; charset*=utf-8''%00; name*0="),
        *(b"Subject: =?utf-8?b?", b"Date: "),
    )
    for head in heads:
        for each in found("a.eml", head + raw):
            assert isinstance(each, Document)
            check(each)
            each.text.encode()
