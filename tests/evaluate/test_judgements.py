"""Are queries and judgements read as people have them, and is a line that says nothing named?"""

from __future__ import annotations

from pathlib import Path

import pytest

from vecindex.errors import SourceError
from vecindex.evaluate.judgements import read_qrels, read_queries


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_queries_are_one_a_line_or_named(tmp_path: Path) -> None:
    plain = written(tmp_path / "q.txt", "\ufeffone\r\n\n two\u2028lines \nthree")
    assert read_queries(plain) == ["one", " two\u2028lines ", "three"]
    named = written(tmp_path / "q.JSONL", '{"_id": "a", "text": "x\u2028y", "metadata": {}}\n{"_id": 7, "text": "z"}\n')
    assert read_queries(named) == {"a": "x\u2028y", "7": "z"}


@pytest.mark.parametrize(
    "text",
    [
        'query-id\tcorpus-id\tscore\n1\tk 1\t1\n1\tk2\t0\n2\t"k\t2\n',
        '1\tk 1\t1\r\n1\tk2\t0\r\n2\t"k\t2',
        '1\t0\tk 1\t1\n1\tQ0\tk2\t0\n2\t0\t"k\t2.0\n',
    ],
)
def test_judgements_are_those_of_beir_and_of_trec(tmp_path: Path, text: str) -> None:
    assert read_qrels(written(tmp_path / "q.tsv", text)) == {"1": {"k 1": 1, "k2": 0}, "2": {'"k': 2}}


def test_trec_has_spaces_too(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path / "qrels", "301 0 FT-1 1\n301 0 FT-2 0\n")) == {"301": {"FT-1": 1, "FT-2": 0}}


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        ("q.txt", "", None, "it is empty"),
        ("q.txt", "one\n\0\n", 2, "byte 1 of the line is NUL"),
        ("q.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}', 2, "the query 'a' is repeated"),
        ("q.jsonl", '{"text": "x"}', 1, 'it is not an object with "_id" and "text"'),
        ("q.jsonl", '{"_id": "a", "text": 1}', 1, "its text is not a string"),
        ("q.jsonl", "x", 1, "not valid JSON at column 1"),
        ("qrels", "h\tk\ts\n1\tonly\n", 2, "it does not have a query, a key and a relevance"),
        ("qrels", "1\tk\tx\n1\tk\tnan\n", 2, "it does not have a query, a key and a relevance"),
        ("qrels", "query\tkey\tscore\n", None, "it is empty"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, line: int | None, reason: str
) -> None:
    path = written(tmp_path / name, text)
    with pytest.raises(SourceError) as caught:
        (read_qrels if name == "qrels" else read_queries)(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)
    assert caught.value.reason.startswith(reason)
    assert "--skip-bad" not in caught.value.advice


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (read_queries, read_qrels):
        with pytest.raises(SourceError, match=r"nowhere\.tsv: cannot be read: No such file"):
            read(tmp_path / "nowhere.tsv")
