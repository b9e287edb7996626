"""A folder of 200 files is added again after a few of them changed: only what is new is encoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.every_format import sentences
from ..support.followed_folder import CHANGED, DELETED, MOVED, NEW, changed, file, written
from ..support.helpers import opened
from ..support.toy import ToyEncoder

FILES, A_FILE = 200, 100
TEXTS = sentences(FILES * A_FILE)


@pytest.mark.parametrize("suffix", ["md", "txt"])
def test_only_new_sentences_are_encoded_when_a_folder_is_added_again(here: Path, suffix: str) -> None:
    docs = here / "docs"
    written(docs, TEXTS, FILES, suffix)
    with opened(here / ".vecindex") as index:
        assert index.add_files([docs]).added == len(TEXTS)
    changed(docs, suffix)
    encoder = ToyEncoder()
    with opened(here / ".vecindex", model=encoder) as index:
        report = index.add_files([docs], prune=True)
        assert encoder.encoded == len(CHANGED)
        assert (report.read, report.moved, report.skipped) == (len(CHANGED), len(MOVED), FILES - 10)
        assert report.gone == tuple(f"docs/{file(Path(), number, suffix)}" for number in DELETED)
        assert report.removed == len(DELETED) * A_FILE
        assert report.stale == 0
        assert len(index) == len(TEXTS) + len(CHANGED) - len(DELETED) * A_FILE
        hit = index.search(NEW.format(50), k=1)[0]
        assert (hit.text, hit.source) == (NEW.format(50), f"docs/{file(Path(), 50, suffix)}")
        moved = index.search(TEXTS[MOVED[1] * A_FILE], k=1)[0]
        assert (moved.text, moved.source) == (TEXTS[MOVED[1] * A_FILE], f"docs/elsewhere/moved51.{suffix}")
        assert all(source.state == "current" for source in index.sources())
        assert index.verify().ok
        assert index.add_files([docs], prune=True).read == 0
