"""Dense search in an index whose codes cover rows without vectors: it finds exactly the records that have one."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from vecindex import Index, InvalidInput
from vecindex.search.dense import check_codes, nearest, plan, tune
from vecindex.search.dense.exact import scores
from vecindex.search.derived import upkeep

from ..support.helpers import opened
from ..support.toy import ToyEncoder

ROWS, DIMENSION = 1_200, 48


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    draw = Random(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "ROWS_FOR_CODES", 200)
        for module, name, value in (
            *((plan, "CODED_ROWS", 200), (tune, "CODED_ROWS", 200)),
            *((plan, "LARGEST_SHARE", 4), (nearest, "LARGEST_SHARE", 4), (check_codes, "LARGEST_SHARE", 4)),
        ):
            patch.setattr(module, name, value)
        patch.setattr(plan, "RANK_ROWS", 0)
        patch.setattr(plan, "_scan", lambda *_: 1e12)  # where there are codes they are used
        patch.setattr(plan, "_rank", lambda *_: 1e12)
        plan.plan.cache_clear()
        with opened(tmp_path_factory.mktemp("i") / "i", model=ToyEncoder(dimension=DIMENSION)) as index:
            for start in range(0, ROWS, 300):
                keys = [f"k{n}" for n in range(start, start + 300)]
                texts = [" ".join(f"w{draw.randrange(90)}" for _ in range(draw.randint(1, 9))) for _ in keys]
                bare = [n % 3 == 0 for n in range(start, start + 300)]
                for lacks in (True, False):
                    some = [place for place, is_bare in enumerate(bare) if is_bare == lacks]
                    index.add(
                        [texts[place] for place in some],
                        keys=[keys[place] for place in some],
                        metadata=[{"n": start + place} for place in some],
                        encode=not lacks,
                    )
            index.delete([f"k{n}" for n in range(0, ROWS, 7)])
            yield index
    plan.plan.cache_clear()


@pytest.mark.parametrize("where", [None, "n < 900", "n < 40"])
@pytest.mark.parametrize("k", [1, 10, 400, 5_000])
def test_codes_give_what_scoring_all_vectors_gives(index: Index, where: str | None, k: int) -> None:
    records = [index.get(record.key or "") for record in index.list(where)]
    known = [record for record in records if record.vector is not None]
    vectors = np.stack([np.asarray(record.vector) for record in known])
    for text in ("w1 w2 w3", "w88", "w5 w6"):
        (query,) = index.encoder.encode([text], role="query")
        found = scores(vectors, query)
        order = np.lexsort((np.arange(len(found)), -found))[:k]
        expected = [known[place].key for place in order.tolist()]
        hits, report = index.explain_search(query, k, where)
        assert [hit.key for hit in hits] == expected
        assert report.allowed == len(known)
        if where is None and k == 1:
            assert report.coded > 0
        assert [hit.key for hit in index.search_many([text, "other"], k, where)[0]] == expected
        least = float(found[order[-1]]) - 1e-6  # the query is scaled again
        assert [hit.key for hit in index.search_all(query, least, where)][: len(expected)] == expected


def test_checks_and_measurements_look_at_vectors_alone(index: Index) -> None:
    assert index.info().codes is not None
    assert index.verify().ok
    assert index.ann_recall(5, sample=50).recall >= 0.95
    assert index.similar("k1", 3)[0].key != "k1"


def test_vectors_can_be_tuned_beside_missing_ones(index: Index) -> None:
    assert index.tune(0.9).recall >= 0.9
    assert index.verify().ok


def test_without_any_vector_there_is_nothing_to_tune(index: Index) -> None:
    with opened(index.path.parent / "bare") as bare:
        bare.add([f"text {n}" for n in range(300)], encode=False)
        assert bare.info().codes is None
        with pytest.raises(InvalidInput, match="no record has a vector"):
            bare.tune()
        assert bare.verify().ok
