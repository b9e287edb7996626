"""The commands that look after an index: indexed fields, deletions by filter, and tuning."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.search.dense import plan, tune
from vecindex.search.derived import upkeep

from ..support.commands import run

ROWS = 1500


@pytest.fixture
def index(here: Path, encoder: Encoder) -> Path:
    """Four sentences with a field to filter by."""
    with vecindex.open(here / ".vecindex", model=encoder) as opened:
        opened.add(["one", "two", "three", "four"], keys=list("abcd"), metadata=[{"n": n} for n in range(4)])
    return here / ".vecindex"


@pytest.fixture
def large(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of vectors that is large enough to be tuned with lowered limits."""
    for module, name in ((upkeep, "ROWS_FOR_CODES"), (plan, "CODED_ROWS"), (tune, "CODED_ROWS")):
        monkeypatch.setattr(module, name, 500)
    vectors = np.random.default_rng(0).standard_normal((ROWS, 64))
    with vecindex.open(here / ".vecindex") as opened:
        opened.add([f"text {n}" for n in range(ROWS)], vectors=vectors, space="theirs")
    return here / ".vecindex"


@pytest.mark.usefixtures("index")
def test_index_field_says_which_fields_are_new() -> None:
    assert run("index-field", "n") == (0, "", "n is indexed now.\n")
    assert run("index-field", "n", "author.name") == (
        *(0, ""),
        "n was indexed already.\nauthor.name is indexed now.\n",
    )
    assert "indexed fields  n, author.name\n" in run("info")[1]
    code, out, err = run("index-field", "a b")
    assert (code, out) == (1, "")
    assert err.startswith("Error: 'a b' is not a field name: ")


@pytest.mark.usefixtures("index")
def test_delete_takes_keys_or_a_filter() -> None:
    assert run("delete", "--where", "n >= 2") == (0, "", "2 deleted; .vecindex holds 2 records.\n")
    assert run("delete", "--where", "n = 77") == (0, "", "0 deleted; .vecindex holds 2 records.\n")
    assert run("delete", "a") == (0, "", "1 deleted; .vecindex holds 1 record.\n")
    for arguments in ([], ["a", "--where", "n = 1"], ["a", "--source", "a.txt"]):
        code, _, err = run("delete", *arguments)
        assert (code, "Pass either the keys of records, --where or --source." in err) == (2, True)
    assert run("delete", "--where", "n ~ 1")[0] == 1


@pytest.mark.usefixtures("large")
def test_tune_and_info_print_the_chosen_settings() -> None:
    code, out, err = run("tune", "--recall", "0.9")
    assert (code, out) == (0, "")
    said = re.fullmatch(
        r"Searches use these settings from now on: (.+): recall (\d\.\d{4}), \d+\.\d\d ms a search\.\n", err
    )
    assert said is not None
    assert f"{said[1]}, {ROWS} rows, recall {said[2]} measured on " in run("info")[1]
    code, _, err = run("tune", "--recall", "1", "--latency", "0.001us")
    assert (code, "Error: no settings reach recall 1 within 1e-06 ms" in err) == (1, True)


@pytest.mark.usefixtures("index")
def test_tune_takes_queries_out_of_any_kind_of_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def tune(index: vecindex.Index, recall: float, latency: float | None, queries: list[str], progress: object) -> None:
        asked.extend(queries)
        raise vecindex.InvalidInput("that is enough", "Stop here.")

    monkeypatch.setattr(vecindex.Index, "tune", tune)
    Path("queries.md").write_text("# Questions\n\nWho is it? Where is it?\n")
    assert "that is enough" in run("tune", "--queries", "queries.md")[2]
    assert asked == ["Questions", "Who is it?", "Where is it?"]


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--recall", "0"], 2, "0 is not in the range"),
        (["--recall", "1.5"], 2, "1.5 is not in the range"),
        (["--latency", "soon"], 2, "'soon' is not a duration; try 5ms."),
        (["--queries", "nothing.txt"], 1, "nothing.txt"),
        ([], 1, "Error: the index has 4 rows, and tuning needs at least"),
    ],
)
def test_tune_refuses_invalid_arguments(arguments: list[str], code: int, message: str) -> None:
    found, _, err = run("tune", *arguments)
    assert (found, message in err) == (code, True), err


@pytest.mark.usefixtures("index")
def test_a_field_has_one_weight() -> None:
    code, out, err = run("index-lexical", "--field", "title=2", "--field", "title")
    assert (code, out) == (2, "")
    assert "'title' is given twice." in err
