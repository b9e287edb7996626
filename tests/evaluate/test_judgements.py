"""Are queries and judgements read as people have them, and is a line that says nothing named?"""

from __future__ import annotations

import gzip
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


def test_a_query_may_have_its_name_before_a_tab(tmp_path: Path) -> None:
    pairs = written(tmp_path / "q.tsv", "qid\tquery\n1\tone  two\n\nx 7\tthree\tfour\n")
    assert read_queries(pairs) == {"1": "one  two", "x 7": "three\tfour"}
    assert read_queries(written(tmp_path / "topics.txt", "301\tone\n302\ttwo")) == {"301": "one", "302": "two"}


def test_topics_of_trec_are_queries(tmp_path: Path) -> None:
    classic = """
<top>
<num> Number: 301
<title> International Organized Crime

<desc> Description:
Identify organizations that participate in crime.
<narr> Narrative:
A relevant document must <b> name one.
</top>

<top>

<num>302</num>
<title>Topic: Poliomyelitis
and post-polio</title>
</top>
"""
    expected = {"301": "International Organized Crime", "302": "Poliomyelitis and post-polio"}
    assert read_queries(written(tmp_path / "topics.301-302", classic)) == expected


@pytest.mark.parametrize("name", ["_id", "id", "key"])
def test_the_name_of_a_query_in_json_may_be_called_differently(tmp_path: Path, name: str) -> None:
    line = '{"%s": "q", "text": "x"}\n' % name  # noqa: UP031
    assert read_queries(written(tmp_path / "q.ndjson", line)) == {"q": "x"}


def test_objects_without_names_are_queries_without_names(tmp_path: Path) -> None:
    lines = '{"text": "one", "note": 1}\n\n{"text": "two"}\n{"text": "one"}\n'
    assert read_queries(written(tmp_path / "q.jsonl", lines)) == ["one", "two", "one"]


def test_files_may_be_compressed_and_in_another_encoding(tmp_path: Path) -> None:
    queries, qrels = tmp_path / "queries.jsonl.gz", tmp_path / "qrels.tsv"
    queries.write_bytes(gzip.compress('{"_id": "a", "text": "Käse"}\n'.encode()))
    qrels.write_bytes("a\tKäse\t1\n".encode("utf-16"))
    assert read_queries(queries) == {"a": "Käse"}
    assert read_qrels(qrels) == {"a": {"Käse": 1}}


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
        ("q.txt", "one sentence\n\0 two\n", 2, "byte 1 of the line is NUL"),
        ("q.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}', 2, "the query 'a' is repeated"),
        ("q.jsonl", '{"_id": "a", "text": "x"}\n{"text": "y"}', 2, 'it is not an object with "_id" and "text"'),
        ("q.jsonl", '{"_id": "a"}', 1, 'it is not an object with "_id" and "text"'),
        ("q.jsonl", '{"text": "x"}\n{"id": "a", "text": "y"}', 2, "it has a name, and the queries before it have none"),
        ("q.jsonl", '{"text": "x"}\n{"query": "y"}', 2, 'it is not an object with "text"'),
        ("q.jsonl", '{"text": 1}', 1, "its text is not a string"),
        ("q.jsonl", '{"_id": "a", "text": 1}', 1, "its text is not a string"),
        ("q.jsonl", "x", 1, "not valid JSON at column 1"),
        ("qrels", "h\tk\ts\n1\tonly\n", 2, "it does not have a query, a key and a relevance"),
        ("q.tsv", "1\tx\ntwo\n", 2, "it does not have a name, a tab and a text"),
        ("q.tsv", "1\tx\n2\t \n", 2, "the text is empty"),
        ("q.tsv", "id\ttext\n", None, "it holds no queries"),
        ("topics", "<top>\n<num> 1\n</top>\n", 1, "the topic has no <num> or no <title>"),
        ("topics", "<top>\n<num> 1\n<title> x\n", 1, "the topic has no end"),
        ("topics", "<top>\n</top>\n<top>\n", 1, "the topic has no <num> or no <title>"),
        ("qrels", "1\tonly\n2\tk\t1\n", 1, "it does not have a query, a key and a relevance"),
        ("qrels", "1\tk\t1\n1\tk\t1\n1\tk\t0\n", 3, "'k' is judged twice for the query '1'"),
        ("qrels", "1\tk\tx\n1\tk\tnan\n", 2, "it does not have a query, a key and a relevance"),
        ("qrels", "query\tkey\tscore\n", None, "it holds no judgements"),
        ("qrels", "\n\n", None, "it is empty"),
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
        with pytest.raises(SourceError, match=r"nowhere\.tsv: no such file. Name a file that exists"):
            read(tmp_path / "nowhere.tsv")
        with pytest.raises(SourceError, match="is a directory") as caught:
            read(tmp_path)
        assert "vecindex add" not in caught.value.command_advice
