"""Records without a vector are stored, found by their words and by filters, and get a vector later or never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import EncodeReport, ForeignEncoder, Index, InvalidInput, Record
from vecindex.index.adding.encode_ahead import TEXTS_TO_BEGIN_WITH

from ..support.helpers import opened, sql
from ..support.toy import BareEncoder, ToyEncoder
from ..support.written_files import write

TEXTS = ["my name is Aun", "it rains", "the pump shows an error"]


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Index]:
    """An index of words alone, in which nothing may be encoded."""
    with vecindex.open(tmp_path / "i", model=Refusing()) as index:
        assert index.add(TEXTS, keys=list("abc"), metadata=[{"n": n} for n in range(3)], encode=False).added == 3
        yield index


class Refusing(ToyEncoder):
    def tokenize(self, texts: Any) -> Any:
        raise AssertionError("nothing is to be encoded")


def keys(hits: Any) -> list[str]:
    return [hit.key for hit in hits]


def lacking(index: Index) -> list[str]:
    return [record.key or "" for record in index.list() if not record.has_vector]


def test_an_index_of_words_alone_needs_no_model_and_no_vector_file(words: Index, tmp_path: Path) -> None:
    info = words.info()
    assert (len(words), info.without_vector, info.model, info.dimension) == (3, 3, None, None)
    assert list((tmp_path / "i").glob("*.f32")) == []
    assert words.get("b") == Record("it rains", "b", {"n": 1})
    assert words.get("b").vector is None
    assert lacking(words) == ["a", "b", "c"]
    assert words.count("n > 0") == 2
    assert words.facets("n").records == 3
    assert words.verify() == vecindex.VerifyReport(3, 3, (), (), 3)
    assert words.search("it rains") == []
    assert words.search([1.0, 2.0]) == []
    assert keys(words.search("rains", mode="lexical")) == ["b"]
    assert keys(words.search("an error rains", mode="lexical", where="n < 2")) == ["b"]
    words.delete(["a"])
    assert words.compact().dropped_rows == 1
    assert keys(words.search("rains", mode="lexical")) == ["b"]
    assert words.verify() == vecindex.VerifyReport(2, 2, (), (), 2)


def test_a_hybrid_search_finds_what_has_no_vector_by_its_words(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(TEXTS, keys=list("abc"))
        index.add(["it rains today", "snow"], keys=["d", "e"], encode=False)
        assert keys(index.search("it rains", 9)) == keys(index.search("it rains", 9, mode="dense"))
        assert set(keys(index.search("it rains", 9))) == {"a", "b", "c"}
        for found in (index.search("it rains", 9, mode="hybrid"), list(index.search_all("it rains", mode="hybrid"))):
            assert set(keys(found)) == {"a", "b", "c", "d"}
            (hit,) = [hit for hit in found if hit.key == "d"]
            assert (hit.score, list(hit.scores), hit.percentile) == (0.0, ["lexical"], None)
            assert "dense" not in hit.to_dict()["scores"]
        assert set(keys(index.search("it rains", 9, mode="hybrid", fusion="rrf"))) == {"a", "b", "c", "d"}
        assert "d" not in keys(index.search("it rains", 9, mode="hybrid", min_score=0.01))
        assert "d" in keys(index.search("it rains", 9, mode="hybrid", min_score=0))
        assert keys(index.search("it rains", 1, mode="hybrid", exclude=["b"])) == ["d"]
        percentiles = {h.key: h.percentile for h in index.search("it rains", 9, mode="hybrid", min_percentile=0)}
        assert percentiles.get("d") is None
        assert percentiles["b"] == 100


def test_what_orders_hits_again_reads_texts_without_vectors_too(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["it snows", "it rains today", "today"], keys=["x", "d", "y"], encode=False)
        (first, *_) = index.search("it rains", mode="lexical", rerank="tokens")  # no vector, and so no space yet
        assert first.key == "d"
        assert first.scores["tokens"] == pytest.approx(1, abs=1e-6)
        assert index.search("it rains", rerank="tokens") == []
        index.add(TEXTS, keys=list("abc"))
        index.index_tokens()
        found = index.search("it rains", 9, mode="hybrid", rerank="tokens")
        by_key = {hit.key: hit.scores for hit in found}
        assert by_key["d"]["tokens"] == pytest.approx(1, abs=1e-6)  # of exact vectors, since none are stored
        assert by_key["d"].keys() == {"lexical", "tokens"}
        assert by_key["b"].keys() == {"dense", "lexical", "tokens"}
        _, report = index.explain_search("it rains", 9, mode="hybrid", rerank="tokens")
        (told,) = [each for each in report.explanations if each.key == "d"]
        assert told.notes == {"tokens": "the record has no vector"}
        assert (told.tokens, [pair.text_token for pair in told.pairs]) == ((), ["it", "rains"])
        assert "dense" not in [standing.by for standing in told.standings]
        assert index.verify().ok
        for k in (1, 3, 9):
            various = index.search("it rains", k, mode="hybrid", diversity=0.5)
            assert len(various) == min(k, len(found))


def test_pages_and_groups_have_each_record_once(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        metadata = [{"topic": n % 3} for n in range(40)]
        texts = [f"word{n % 7} of text {n}" for n in range(40)]
        index.add(texts[::2], keys=[f"v{n}" for n in range(20)], metadata=metadata[::2])
        index.add(texts[1::2], keys=[f"w{n}" for n in range(20)], metadata=metadata[1::2], encode=False)
        for mode, expected in (("hybrid", 40), ("dense", 20), ("lexical", 40)):
            page = index.search("text of word3", 7, mode=mode)  # type: ignore[arg-type]
            found = keys(page)
            while page.cursor is not None:
                page = index.search("text of word3", 7, mode=mode, cursor=page.cursor)  # type: ignore[arg-type]
                found += keys(page)
            assert len(found) == len(set(found)) == expected
            grouped = index.search("text of word3", 9, mode=mode, group_by="topic")  # type: ignore[arg-type]
            assert [hit.metadata["topic"] for hit in grouped] == list(
                dict.fromkeys(h.metadata["topic"] for h in grouped)
            )
            assert len(grouped) == 3


def test_similar_names_the_record_that_has_no_vector(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(TEXTS, keys=list("abc"))
        index.add(["bare"], keys=["d"], encode=False)
        assert set(keys(index.similar("a", 9))) == {"b", "c"}
        for like, unlike in ((["d"], []), (["a", "d"], []), (["a"], ["d"])):
            with pytest.raises(InvalidInput, match=r"the record 'd' has no vector\. .*encode_missing"):
                index.similar(like, not_=unlike)
        index.delete(["b", "c"])
        with pytest.raises(InvalidInput, match="one record with a vector"):
            index.ann_recall()


def test_texts_keep_their_vectors_until_they_change(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(TEXTS, keys=list("abc"))
        before = index.get("a").vector
        report = index.add(TEXTS, keys=list("abc"), metadata=[{"n": 1}, None, None], encode=False)
        assert (report.updated, report.unchanged, report.without_vector) == (1, 2, 0)
        assert np.array_equal(index.get("a").vector, before)  # type: ignore[arg-type]
        report = index.add(["changed"], keys=["a"], encode=False)
        assert (report.updated, report.without_vector, index.get("a").vector) == (1, 1, None)
        assert index.get("a").metadata == {"n": 1}
        report = index.add(["changed"], keys=["a"])
        assert (report.updated, report.unchanged, report.without_vector) == (1, 0, 0)
        assert index.get("a").vector == pytest.approx(ToyEncoder().encode(["changed"])[0], abs=1e-6)
        assert index.add(["changed"], keys=["a"]).unchanged == 1
        assert index.verify().ok


def test_metadata_that_words_are_read_from_gives_a_new_row_without_a_vector(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.index_lexical(fields={"title": 1})
        index.add(["one", "two"], keys=["a", "b"], encode=False)
        index.add(["one"], keys=["a"], metadata=[{"title": "rain"}], encode=False)
        assert keys(index.search("rain", mode="lexical")) == ["a"]
        assert lacking(index) == ["b", "a"]
        assert index.verify().ok


@pytest.mark.parametrize("how", ["vectors", "column", "records", "iterator", "encode=False"])
def test_one_add_stores_records_with_and_without_vectors(tmp_path: Path, how: str) -> None:
    one, two = np.array([3.0, 4.0]), np.array([0.0, 1.0], np.float32)
    given: list[Any] = [None, one, two, None]
    records = [Record(text, text, vector=vector) for text, vector in zip("abcd", given, strict=True)]
    with opened(tmp_path / "i", model=None) as index:
        if how == "vectors":
            report = index.add(list("abcd"), keys=list("abcd"), vectors=given, space="mine")
        elif how == "column":
            column = np.empty(4, object)
            column[:] = given
            report = index.add(list("abcd"), keys=list("abcd"), vectors=column, space="mine")
        elif how == "records":
            report = index.add(records, space="mine")
        elif how == "iterator":
            report = index.add(iter(records), space="mine")
        else:
            index.add(["z"], keys=["z"], vectors=[one], space="mine")
            report = index.add(records, encode=False)
        assert (report.added, report.without_vector) == (4, 2)
        vectors = [index.get(key).vector for key in "abcd"]
        assert vectors[0] is vectors[3] is None
        assert np.allclose(vectors[1], [0.6, 0.8])  # type: ignore[arg-type]
        assert np.allclose(vectors[2], [0, 1])  # type: ignore[arg-type]
        assert sql(tmp_path / "i", "select max(generation) from manifest") == [(2 if how == "encode=False" else 1,)]
        assert [key for key in keys(index.search(one, 9)) if key != "z"] == ["b", "c"]
        assert index.verify().ok
        with pytest.raises(InvalidInput, match="vectors have the shapes"):
            index.add(["x", "y", "z"], vectors=[None, one, np.ones(3)])
        with pytest.raises(InvalidInput, match="the vector of row 2 is zero"):
            index.add(["x", "y", "z"], vectors=[None, one, np.zeros(2)])
        with pytest.raises(InvalidInput, match="there are 2 texts, but 1 vectors"):
            index.add(["x", "y"], vectors=[None])
        assert index.verify().ok


def test_vectors_that_are_all_none_need_no_space(tmp_path: Path) -> None:
    with opened(tmp_path / "i", model=None) as index:
        assert index.add([], vectors=[]).added == 0
        assert index.add(["a", "b"], vectors=[None, None]).without_vector == 2
        assert index.info().model is None
        assert index.add(["c"], vectors=[[1, 0, 0]], space="mine").added == 1
        assert (tmp_path / "i" / "vectors-1.f32").stat().st_size == 3 * 3 * 4
        assert [hit.text for hit in index.search([1, 0, 0], 9)] == ["c"]
        assert index.verify().ok


def test_what_says_how_texts_are_encoded_goes_with_encoding(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        with pytest.raises(InvalidInput, match="on_long= says how texts are encoded, but nothing is"):
            index.add(["one"], encode=False, on_long="split")
        with pytest.raises(InvalidInput, match="on_long= says how texts are encoded, but nothing is"):
            index.add_files(write(str(tmp_path / "n.txt"), "one\n"), encode=False, on_long="mean")
        assert len(index) == 0


def test_files_are_added_without_vectors_and_read_again_to_be_encoded(tmp_path: Path) -> None:
    file = write(str(tmp_path / "notes.md"), "# Rain\n\nIt rains. It pours.\n")
    with vecindex.open(tmp_path / "i", model=Refusing()) as index:
        report = index.add_files(file, encode=False)
        assert (report.added, report.without_vector) == (3, 3)
        assert index.add_files(file, encode=False).skipped == 1
        assert [hit.text for hit in index.search("pours", mode="lexical", context=1)] == ["It pours."]
        hit = index.search("pours", mode="lexical", context=1)[0]
        assert (hit.before, hit.source) == (("It rains.",), "notes.md")
    with opened(tmp_path / "i") as index:
        assert index.add_files(file).updated == 3
        assert index.info().without_vector == 0
        assert [source.state for source in index.sources()] == ["current"]
        assert index.search("It pours.", k=1)[0].before == ()
        assert index.verify().ok


class TestEncodeMissing:
    def test_gives_all_the_model_s_vectors_and_changes_nothing_else(self, tmp_path: Path) -> None:
        file = write(str(tmp_path / "notes.md"), "It rains. It pours.\n")
        with opened(tmp_path / "i") as index:
            index.add(["x " * 40], keys=["long"], metadata=[{"n": 1}], encode=False)
            index.add_files(file, encode=False)
            before = {record.key: (record, record.origin, record.span) for record in index.list()}
            told: list[tuple[int, int]] = []
            report = index.encode_missing(progress=lambda done, of: told.append((done, of)))
            assert (report.encoded, report.truncated, report.tokens_lost, report.without_vector) == (3, 1, 9, 0)
            assert (told[0], told[-1]) == ((0, 3), (3, 3))
            assert {record.key: (record, record.origin, record.span) for record in index.list()} == before
            assert index.search("It pours.", k=1)[0].score == pytest.approx(1)
            assert index.info().cached_texts == 3
            assert index.encode_missing() == EncodeReport()
            assert index.add_files(file, encode=False).skipped == 1
            assert index.verify().ok

    def test_needs_no_model_where_nothing_is_missing(self, tmp_path: Path) -> None:
        with vecindex.open(tmp_path / "i", model=Refusing()) as index:
            assert index.encode_missing().encoded == 0

    def test_takes_vectors_that_the_cache_knows(self, tmp_path: Path) -> None:
        encoder = ToyEncoder()
        with opened(tmp_path / "i", model=encoder) as index:
            index.add(["one", "two"])
            index.add(["one", "two"], keys=["a", "b"], encode=False)
            assert lacking(index) == ["a", "b"]
            before = encoder.encoded
            assert index.encode_missing().encoded == 2
            assert encoder.encoded == before

    def test_keeps_what_it_committed_when_it_is_interrupted(self, tmp_path: Path) -> None:
        class Interrupted(ToyEncoder):
            def tokenize(self, texts: Any) -> Any:
                if self.encoded >= TEXTS_TO_BEGIN_WITH:
                    raise KeyboardInterrupt
                return super().tokenize(texts)

        texts = [f"text {n}" for n in range(150)]
        with opened(tmp_path / "i", model=Interrupted()) as index:
            index.add(texts, keys=texts, encode=False)
            with pytest.raises(KeyboardInterrupt):
                index.encode_missing()
            assert index.info().without_vector == 150 - TEXTS_TO_BEGIN_WITH
            assert index.verify().ok
        with opened(tmp_path / "i") as index:
            assert index.encode_missing().encoded == 150 - TEXTS_TO_BEGIN_WITH
            assert index.keys() == texts
            assert index.search("text 149", k=1)[0].key == "text 149"

    def test_leaves_texts_without_a_token_as_they_are(self, tmp_path: Path) -> None:
        with opened(tmp_path / "i", model=BareEncoder()) as index:
            index.add(["one", "~", "two"], keys=list("abc"), encode=False)
            for encoded in (2, 0):
                report = index.encode_missing()
                assert (report.encoded, report.without_vector) == (encoded, 1)
            assert lacking(index) == ["b"]
            assert index.verify().ok

    def test_leaves_out_what_others_changed_meanwhile(self, tmp_path: Path) -> None:
        class Busy(ToyEncoder):
            def tokenize(self, texts: Any) -> Any:
                if "one" in texts:
                    with opened(tmp_path / "i") as other:
                        other.add(["changed"], keys=["a"], encode=False)
                        other.delete(["b"])
                        other.compact()
                return super().tokenize(texts)

        with opened(tmp_path / "i", model=Busy()) as index:
            index.add(["one", "two", "three"], keys=list("abc"), encode=False)
            assert index.encode_missing().encoded == 2
            assert (index.get("a").text, lacking(index)) == ("changed", [])
            assert index.verify().ok

    def test_of_vectors_from_elsewhere_needs_what_made_them(self, tmp_path: Path) -> None:
        vector = ToyEncoder().encode(["one"])[0]
        with opened(tmp_path / "i", model=None) as index:
            index.add(["one", "two"], keys=["a", "b"], vectors=[vector, None], space="theirs")
            with pytest.raises(InvalidInput, match=r"made elsewhere \(theirs\).*ForeignEncoder"):
                index.encode_missing()
        theirs = ForeignEncoder("theirs", lambda texts: ToyEncoder().encode(texts))
        with vecindex.open(tmp_path / "i", model=theirs) as index:
            assert index.encode_missing().encoded == 1
            assert index.get("b").vector == pytest.approx(ToyEncoder().encode(["two"])[0], abs=1e-6)


def test_a_migration_leaves_records_without_vectors_as_they_are(tmp_path: Path) -> None:
    other = ToyEncoder(weights="v" * 64, dimension=8)
    with opened(tmp_path / "i") as index:
        index.add(["bare"], keys=["z"], encode=False)
        with pytest.raises(InvalidInput, match="no record of the index has a vector"):
            index.migrate(other)
        index.add(TEXTS, keys=list("abc"))
        index.add(["it rains"], keys=["d"], encode=False)
        report = index.migrate(other)
        assert (report.records, report.encoded) == (5, 3)
        assert lacking(index) == ["z", "d"]
        assert index.get("a").vector == pytest.approx(other.encode([TEXTS[0]])[0], abs=1e-6)
        assert index.verify().ok
        index.add(["it rains"], keys=["d"])
        index.add(["changed"], keys=["a"], encode=False)
        index.migrate(ToyEncoder())
        assert lacking(index) == ["z", "a"]
        assert index.verify().ok
        index.delete(list("bcd"))
        index.migrate(other)  # no record has a vector now
        assert (lacking(index), index.info().dimension) == (["z", "a"], 8)
        assert index.encode_missing().encoded == 2
        assert index.verify().ok


def test_a_backup_has_records_without_vectors(words: Index, tmp_path: Path) -> None:
    words.backup(tmp_path / "first")
    with opened(tmp_path / "first") as index:
        index.add(["one"], keys=["x"])
        index.backup(tmp_path / "second")
    with opened(tmp_path / "second") as index:
        assert lacking(index) == ["a", "b", "c"]
        assert index.verify().ok


@pytest.mark.parametrize("name", ["e.jsonl", "e.parquet", "e.npy", "e.faiss"])
def test_export_and_import_keep_what_has_no_vector(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["first"], keys=["z"], encode=False)
        index.add(TEXTS, keys=list("abc"))
        index.add(["x " * 40, "last"], keys=["long", "y"], encode=False)
        index.add(["x " * 40], keys=["other"])
        index.export(tmp_path / name)
        expected = {key: index.get(key).vector for key in index.keys()}  # noqa: SIM118
    with opened(tmp_path / "j") as index:
        report = index.import_(tmp_path / name)
        assert (report.added, report.without_vector, report.truncated) == (7, 3, 1)
        for key, vector in expected.items():
            found = index.get(key).vector
            assert (found is None) == (vector is None)
            assert vector is None or np.array_equal(found, vector)  # type: ignore[arg-type]
        assert index.verify().ok
        assert index.import_(tmp_path / name).unchanged == 7


def test_an_index_of_words_alone_is_exported_where_a_vector_may_be_missing(words: Index, tmp_path: Path) -> None:
    for name in ("e.jsonl", "e.parquet"):
        words.export(tmp_path / name)
        with vecindex.open(tmp_path / f"of {name}", model=Refusing()) as index:
            assert index.import_(tmp_path / name).without_vector == 3
            assert index.info().model is None
            assert index.verify().ok
    for name in ("e.npy", "e.faiss"):
        with pytest.raises(InvalidInput, match="no record has a vector"):
            words.export(tmp_path / name)
