"""Whatever is done to an index, stored token vectors are those of the live records' texts, and none are left behind."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import numpy as np
import pytest

from vecindex import Index
from vecindex.encoders.run.own_tokens import own_tokens, tokenized
from vecindex.search.derived import token_upkeep, upkeep
from vecindex.search.rerank.late_interaction import scores
from vecindex.search.rerank.token_codes import decode, encode, turned_back

from ...support.extent import slow
from ...support.helpers import opened
from ...support.toy import DIMENSION, ToyEncoder

WORDS = ("rain", "sun", "wind", "pump", "error", "light")
QUERY = "pump rain snow"
KEYS = [f"k{n}" for n in range(40)]


class Walk:
    """Random changes by two writers, one after the other, and what the index has to hold."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, Random(seed)
        self.indexes = [opened(folder), opened(folder)]
        self.texts: dict[str, str] = {}
        self.indexes[0].index_tokens()

    @property
    def index(self) -> Index:
        return self.draw.choice(self.indexes)

    def text(self) -> str:
        return " ".join(self.draw.choices(WORDS, k=self.draw.randint(1, 9)))

    def add(self) -> None:
        some = {key: self.text() for key in self.draw.sample(KEYS, self.draw.randint(1, 9))}
        self.index.add(list(some.values()), keys=list(some), on_duplicate="last")
        self.texts |= some

    def add_with_vectors(self) -> None:
        some, encoder = {key: self.text() for key in self.draw.sample(KEYS, 3)}, ToyEncoder()
        vectors = encoder.encode(list(some.values()))
        self.index.add(list(some.values()), keys=list(some), vectors=vectors, space=encoder.space)
        self.texts |= some

    def delete(self) -> None:
        gone = self.draw.sample(sorted(self.texts), min(len(self.texts), 4))
        self.index.delete(gone)
        for key in gone:
            del self.texts[key]

    def compact(self) -> None:
        self.index.compact()

    def again(self) -> None:
        self.index.index_tokens()

    def remove(self) -> None:
        self.index.drop_tokens()

    def repair(self) -> None:
        assert self.index.repair().ok

    def open_again(self) -> None:
        self.indexes[self.draw.randrange(2)] = opened(self.folder)

    def lose(self) -> None:
        if files := sorted(self.folder.glob("tokens-*")):
            self.draw.choice(files).unlink()

    def damage(self) -> None:
        if files := sorted(self.folder.glob("tokens-*")):
            path = self.draw.choice(files)
            content = bytearray(path.read_bytes())
            content[self.draw.randrange(len(content))] ^= 1 << self.draw.randrange(8)
            path.unlink()  # another file: the old one may be mapped
            path.write_bytes(content)

    def check(self) -> None:
        index = self.index
        assert {key: index.get(key).text for key in index.keys()} == self.texts  # noqa: SIM118
        hits = index.search(QUERY, k=99, rerank="tokens", rerank_ms=math.inf)
        assert {hit.key for hit in hits} == self.texts.keys()
        for hit in hits:
            possible = expected(hit.text)
            assert min(abs(score - hit.scores["tokens"]) for score in possible) < 1e-5, (hit, possible)
        manifest = index._manifest()
        names = set(manifest.tokens.names) if manifest.tokens else set()
        assert {path.name for path in self.folder.glob("tokens-*")} <= names


def expected(text: str) -> tuple[float, float]:
    """The token score by the text's own vectors, and by those that are stored."""
    encoder = ToyEncoder()
    asked = own_tokens(encoder, tokenized(encoder, [QUERY], "query"), "query")[0].vectors
    found = own_tokens(encoder, tokenized(encoder, [text], "document"), "document")[0].vectors
    stored = turned_back(decode(encode(found), DIMENSION))
    exact, quantised = scores(asked, [found, stored])
    return float(exact), float(quantised)


@pytest.mark.parametrize("seed", [*range(6), *(slow(seed) for seed in range(6, 60))])
def test_stored_token_vectors_are_those_of_the_live_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for module, name, value in (
        *((token_upkeep, "ROWS_A_PIECE", 4), (token_upkeep, "MOST_TOKENS", 60)),
        *((upkeep, "TEXTS_MADE_UP", 6), (upkeep, "_DEAD", 12), (upkeep, "LEXICAL_TAIL", 20)),
    ):
        monkeypatch.setattr(module, name, value)
    walk = Walk(tmp_path / "i", seed)
    acts = [walk.add] * 5 + [walk.add_with_vectors, walk.delete, walk.delete, walk.compact, walk.again, walk.remove]
    acts += [walk.repair, walk.open_again, walk.lose, walk.damage]
    for _ in range(40):
        walk.draw.choice(acts)()
        walk.check()
    index = walk.index
    assert index.repair().ok
    index.index_tokens()
    with index._snapshots.take() as snapshot:
        stored = index._tokens.of(snapshot)
        encoder = ToyEncoder()
        for key, record in snapshot.find(walk.texts).items():
            vectors = own_tokens(encoder, tokenized(encoder, [walk.texts[key]], "document"), "document")[0].vectors
            codes = stored.codes(record.row)
            assert codes is not None
            assert np.array_equal(codes, encode(vectors))
    assert index.verify().ok
