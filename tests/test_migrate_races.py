"""Another model for an index, while others search, write and migrate, and while it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from tests.test_migrate import TEXTS, contents
from tests.toy import ToyEncoder
from vecindex.encoders.encoder import Encoder, IntArray
from vecindex.encoders.spec import Space


class Twin(ToyEncoder):
    """Another space of as many dimensions: nothing but the fingerprint tells its vectors from the others."""

    def __init__(self) -> None:
        super().__init__(model="twin", weights="x" * 64)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> Any:
        return super().forward(input_ids, attention_mask)[:, :, ::-1] ** 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    with vecindex.open(path, model=ToyEncoder()) as index:
        index.add(TEXTS)
    return path


class Interrupting(ToyEncoder):
    """Does something once, when it has encoded; what it encoded is used after that."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then: Callable[[], object] | None = then

    def encode_all(self, *arguments: Any, **more: Any) -> Any:
        found = super().encode_all(*arguments, **more)
        if self._then is not None:
            then, self._then = self._then, None
            then()
        return found


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Encoder]:
    """What an index without a named model finds, by name."""
    found: dict[str, Encoder] = {"toy": ToyEncoder(), "twin": Twin()}

    def load(space: Space, *_: Any, **__: Any) -> Encoder:
        return found[space.model]

    monkeypatch.setattr("vecindex.language.load_for_space", load)
    return found


def migrate(folder: Path, encoder: Encoder) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.migrate(encoder)


# --- others, meanwhile


def test_a_query_of_the_old_space_is_never_scored_in_the_new_one(folder: Path, models: dict[str, Encoder]) -> None:
    models["toy"] = Interrupting(lambda: migrate(folder, Twin()))
    with vecindex.open(folder) as reader:
        assert reader.search("red sun")[0].score == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("text", ["a new text", "red sun"])
def test_texts_encoded_before_the_switch_are_encoded_again(
    folder: Path, tmp_path: Path, models: dict[str, Encoder], text: str
) -> None:
    models["toy"] = Interrupting(lambda: migrate(folder, Twin()))
    with vecindex.open(folder) as index:
        assert index.add(["before", text], keys=["k", "l"]).added == 2  # "red sun" was encoded earlier, and is cached
        with vecindex.open(tmp_path / "fresh", model=Twin()) as other:
            other.add([*TEXTS, "before", text], keys=index.keys())
            assert contents(index) == contents(other)
        assert index.verify().ok


def test_a_cached_vector_of_the_old_space_never_goes_into_the_new_one(
    folder: Path, tmp_path: Path, models: dict[str, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    with vecindex.open(folder) as index:
        space_of, asked = index._space, list[int]()

        def switched() -> Space | None:
            if not asked:  # the cache has been asked, the encoder not yet
                asked.append(1)
                migrate(folder, Twin())
            return space_of()

        monkeypatch.setattr("vecindex.ingest.reconcile", _after(monkeypatch, index, switched))
        index.add(["red sun", "unheard of"], keys=["k", "l"])
        with vecindex.open(tmp_path / "fresh", model=Twin()) as other:
            other.add(["red sun"])
            expected = other.get(other.keys()[0]).vector
        found = index.get("k").vector
        assert expected is not None
        assert found is not None
        assert np.dot(found, expected) == pytest.approx(1, abs=1e-6)


def _after(monkeypatch: pytest.MonkeyPatch, index: Any, space: Callable[[], Space | None]) -> Any:
    from vecindex.store.changes import reconcile

    def found(*arguments: Any) -> Any:
        monkeypatch.setattr(index, "_space", space)
        return reconcile(*arguments)

    return found
