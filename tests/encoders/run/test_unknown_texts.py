"""Texts of which a model knows no token, or that it gives no direction: counted, named, and not found by accident."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

import vecindex
from vecindex import AddReport, EncodingFailed, Index, InvalidInput, QueryUnknown, TextTooLong, TextWithoutToken
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.head import Head
from vecindex.encoders.run.static import StaticEncoder
from vecindex.encoders.run.text_tokenizer import TextTokenizer, check_room
from vecindex.index.adding.long_texts import OnLong
from vecindex.values.records import UNKNOWN
from vecindex.values.space import Role

from ...support.commands import run
from ...support.helpers import opened
from ...support.toy import ToyEncoder, toy_space, word_vector

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "ask")


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def unigram() -> Tokenizer:
    words = [("<unk>", 0.0), ("</s>", 0.0), ("▁", -5.0), *((f"▁{word}", -1.0) for word in WORDS[4:])]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    return tokenizer


def table(**rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    found = np.stack([word_vector(i) for i in range(len(WORDS))])
    for name, row in rows.items():
        found[WORDS.index(f"[{name}]")] = row
    return found


def static(tokenizer: Tokenizer | None = None, special: bool = True, rows: Any = None, **changes: Any) -> StaticEncoder:
    """One that adds ``[CLS]`` and ``[SEP]``, as a transformer does, and whose vectors are known."""
    space = toy_space(**changes)
    reader = TextTokenizer(tokenizer or wordpiece(), space.max_tokens, space.truncation, special)
    return StaticEncoder(space, reader, table() if rows is None else rows, Head.plain(space))


UNKNOWN_TEXTS = ["🦊", "🚆 🚆", "", "\u200b", "ኣ ለ", "🦊" * 99]


@pytest.mark.parametrize("tokenizer", [wordpiece, unigram])
def test_texts_of_which_the_model_knows_nothing_are_marked(tokenizer: Any) -> None:
    encoder = static(tokenizer(), document_prompt="one ", query_prompt="ask ")
    known = ["one", "🦊 one", "two 🦊", "ask", "one " * 99]
    for role in get_args(Role):
        found = encoder.encode_all([*UNKNOWN_TEXTS, *known], role)
        assert found.unknown.tolist() == [True] * len(UNKNOWN_TEXTS) + [False] * len(known)
    assert (found.lost[-1], found.truncated.sum()) == (encoder.count_tokens([known[-1]])[0] - 32, 1)


def test_a_truncated_text_may_be_unknown_while_its_parts_are_not() -> None:
    encoder, long = static(max_tokens=8), "🦊 " * 20
    for on_long, lost in (("truncate", [UNKNOWN + 14, UNKNOWN + 15]), ("mean", [UNKNOWN, 0])):
        found = encoder.encode_all([long, long + "one"], on_long=on_long)  # type: ignore[arg-type]
        assert found.uncovered.tolist() == lost
        assert found.lost.tolist() == [tokens % UNKNOWN for tokens in lost]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with opened(tmp_path / "i", model=static()) as index:
        index.add(["🦊", "one two", "🚆", "two", "🐑", "three one"], keys=list("abcdef"))
        yield index


def keys(hits: Any) -> list[str]:
    return [hit.key for hit in hits]


def test_unknown_texts_are_counted_apart_from_truncated_ones(tmp_path: Path) -> None:
    with opened(tmp_path / "i", model=static(max_tokens=8)) as index:
        texts = ["🦊", "one", "🚆 " * 20, "one " * 20, "🐑"]
        assert index.add(texts) == AddReport(added=5, truncated=2, tokens_lost=28, unknown=3)
        assert index.add(texts) == AddReport(unchanged=5)
        assert index.add(["🦊"], keys=["again"]) == AddReport(added=1, unknown=1)  # from the cache
        assert (index.info().unknown, index.info().truncated, index.info().tokens_lost) == (4, 2, 28)
        assert [hit.text for hit in map(index.get, index.keys())] == [*texts, "🦊"]
        assert index.verify().ok
        assert index.add([texts[2], "🦊"], on_long="mean") == AddReport(updated=1, unchanged=1, unknown=1)
        index.compact()
        assert (index.info().unknown, index.info().truncated) == (4, 1)


def test_unknown_texts_rank_after_all_known_ones_whatever_their_score(index: Index) -> None:
    for query in ("two", "three", "🐑", "one two three"):
        for k in (1, 2, 3, 5, 6, 9):
            check_order(index, query, k)


def check_order(index: Index, query: str, k: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QueryUnknown)
        hits, explained = index.search(query, k), index.explain_search(query, k)[0]
    assert hits == explained
    assert [hit.rank for hit in hits] == list(range(1, min(k, 6) + 1))
    assert set(keys(hits[:3])) <= {"b", "d", "f"}
    assert [hit.unknown for hit in hits] == [False] * min(k, 3) + [True] * (min(k, 6) - min(k, 3))
    for some in (hits[:3], hits[3:]):
        assert [hit.score for hit in some] == sorted((hit.score for hit in some), reverse=True)
    encoder = index.encoder
    for hit in hits:
        cosine = encoder.encode([query], role="query")[0] @ encoder.encode([hit.text])[0]
        assert hit.score == pytest.approx(float(cosine), abs=1e-6)


def test_thousands_of_unknown_texts_do_not_hide_the_right_one(tmp_path: Path) -> None:
    # Their vector is the query's own: without a word said of them, all of the first 3,000 hits are theirs.
    near = table(UNK=table()[WORDS.index("two")], CLS=np.zeros(16, np.float32), SEP=np.zeros(16, np.float32))
    with opened(tmp_path / "i", model=static(rows=near)) as index:
        index.add(["🦊"] * 3000 + ["one two"], keys=[f"k{n}" for n in range(3001)], metadata=[{"x": 1}] * 3001)
        assert keys(index.search("two", 3)) == ["k3000", "k0", "k1"]
        assert keys(index.search("two", 2, where="x exists")) == ["k3000", "k0"]
        assert [keys(hits) for hits in index.search_many(["two", "one"], 1)] == [["k3000"], ["k3000"]]


def test_unknown_texts_are_found_by_key_by_filter_and_by_a_search_for_all(index: Index) -> None:
    index.add(["🐘"], keys=["g"], metadata=[{"kind": "emoji"}])
    assert index.get("g").text == "🐘"
    assert keys(index.search("one", where={"kind": "emoji"})) == ["g"]
    assert set(keys(index.search("one", 9))) == set("abcdefg")


def test_similar_to_an_unknown_text_warns(index: Index) -> None:
    with pytest.warns(QueryUnknown) as caught:
        assert [hit.unknown for hit in index.similar("a")] == [False] * 3 + [True] * 2
    assert caught[0].filename == __file__
    assert "knows no token of the record, " in str(caught[0].message)


def test_an_unknown_query_warns(index: Index) -> None:
    with pytest.warns(QueryUnknown) as caught:
        index.search_many(["one", "🦊", "\u0301"])
    assert [str(each.message) for each in caught] == [
        f"toy knows no token of query {n}, so the order of the hits is meaningless. Use words that it knows, "
        "or change to a model for that script with `migrate`."
        for n in (1, 2)
    ]


def test_unknown_texts_stay_marked_through_export_migration_and_repair(index: Index, tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.parquet"):
        index.export(tmp_path / name)
        with opened(tmp_path / f"{name}-i", model=static()) as other:
            assert other.import_(tmp_path / name) == AddReport(added=6, unknown=3)
            assert keys(other.search("two", 3)) == keys(index.search("two", 3))
    report = index.migrate(static(weights="v" * 64))
    assert (report.unknown, report.truncated, index.info().unknown) == (3, 0, 3)
    (path,) = (tmp_path / "i").glob("vectors-*.f32")
    with path.open("r+b") as file:
        file.write(b"\xff" * 64)  # the first record's vector
    assert index.repair().ok
    assert index.info().unknown == 3


# --- no direction at all ---------------------------------------------------------------------------------------------

NOTHING = np.zeros(16, np.float32)


def test_a_text_with_a_zero_vector_counts_as_without_a_token(tmp_path: Path) -> None:
    encoder = static(special=False, rows=table(UNK=NOTHING))
    with opened(tmp_path / "i", model=encoder) as index:
        with pytest.raises(TextWithoutToken) as caught:
            index.add(["one", "🦊"], keys=["a", "b"])
        assert (caught.value.item, caught.value.key, len(index)) == (1, "b", 0)
        for on_long in get_args(OnLong):
            left_out: list[TextTooLong | TextWithoutToken] = []
            texts = ["one", "🦊", "\u200b", "two", "🚆 " * 40 + "one", "🐑"]
            if on_long == "error":
                del texts[4]
            index.add(texts, on_long=on_long, on_bad=left_out.append)
            assert [error.text for error in left_out][:2] == ["🦊", "\u200b"]
            assert left_out[-1].text == "🐑"
            assert index.verify().ok
        with pytest.raises(InvalidInput, match="toy finds no tokens in the query '🦊'"):
            index.search("🦊")
    with pytest.raises(TextWithoutToken):
        encoder.encode(["🦊"])


def test_the_mean_of_parts_leaves_out_parts_with_a_zero_vector() -> None:
    encoder = static(special=False, rows=table(UNK=NOTHING), max_tokens=8)
    (found,) = encoder.encode_all(["one two " * 4 + "🦊 " * 8], on_long="mean").vectors
    assert found == pytest.approx(encoder.encode(["one two"])[0], abs=1e-6)
    with pytest.raises(TextWithoutToken):
        encoder.encode_all(["🦊 " * 20], on_long="mean")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_never_returned_or_stored(tmp_path: Path, number: float) -> None:
    class Broken(ToyEncoder):
        def forward(self, *arguments: Any) -> npt.NDArray[np.float32]:
            states = super().forward(*arguments)
            states[:, 0, 3] = number
            return states

    with np.errstate(all="ignore"), opened(tmp_path / "i", model=Broken()) as index:
        for do in (
            lambda: index.add(["one"]),
            lambda: Broken().encode(["one"]),
            lambda: Broken().encode(["one"], "query"),
        ):
            with pytest.raises(
                EncodingFailed, match="toy in fp32 computes numbers that are not finite for the text 'one'"
            ):
                do()
        assert len(index) == 0


# --- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["document", "query"])
def test_a_prompt_that_leaves_no_room_for_a_text_is_refused(role: Role) -> None:
    for words, refused in ((5, False), (6, True), (9, True)):
        prompts: dict[str, Any] = {f"{role}_prompt": "ask " * words}
        encoder = static(**prompts, max_tokens=8)
        if not refused:
            check_room(encoder.tokenizer, [encoder.space.prompt(role)])
            assert len(np.unique(encoder.encode(["one", "two"], role), axis=0)) == 2
            continue
        with pytest.raises(ValueError, match=rf"it reads 8 tokens of a text, and the prompt 'ask .*' has {words + 2}"):
            check_room(encoder.tokenizer, [encoder.space.prompt(role)])


def test_a_long_prompt_is_accepted_if_the_model_reads_the_end_of_a_text() -> None:
    encoder = static(max_tokens=8, document_prompt="ask " * 9, truncation="left")
    check_room(encoder.tokenizer, [encoder.space.document_prompt])
    assert len(np.unique(encoder.encode(["one", "two"]), axis=0)) == 2


# --- the real model, on the command line -----------------------------------------------------------------------------

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def test_the_command_line_counts_unknown_texts_and_warns_of_an_unknown_query(here: Path, encoder: Encoder) -> None:
    vecindex.open("i", model=encoder).close()
    texts = [word for text in ("🦊", "🐑", "It rains.", "🚆 🚆") for word in ("--text", text)]
    assert run("add", *texts, "--index", "i") == (
        0,
        "",
        "4 added, 0 updated, 0 unchanged; i holds 4 records.\n"
        f"Warning: {MINILM} knows no token of 3 texts (emoji, an unsupported script, or very long words); "
        "search cannot find them by meaning and lists them last.\n",
    )
    code, out, err = run("search", "🐘", "--index", "i")
    assert (code, err) == (
        0,
        f"Warning: {MINILM} knows no token of the query, so the order of the hits is meaningless. "
        "Use words that it knows, or change to a model for that script with `migrate`.\n",
    )
    first, *rest = out.splitlines()
    assert first.split("  ")[2] == "It rains."
    assert all(line.endswith("(the model knows none of its tokens)") for line in rest)
    assert (
        run("search", "rain", "-k", "2", "--format", "jsonl", "--index", "i")[1]
        .splitlines()[1]
        .endswith('"metadata": {}, "unknown": true}')
    )
