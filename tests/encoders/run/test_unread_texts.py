"""Is a text in which the model finds no token named, by item, file and line, and left out where that is asked?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import AddReport, Index, TextTooLong, TextWithoutToken
from vecindex.index.adding import encode_ahead
from vecindex.index.adding.long_texts import OnLong
from vecindex.store.writer import MissingVectors, Writer

from ...support.commands import run
from ...support.extent import examples
from ...support.helpers import opened, state_of
from ...support.models.families import static_model
from ...support.toy import MAX_TOKENS, BareEncoder

FATES: tuple[OnLong, ...] = get_args(OnLong)


@pytest.fixture
def encoder() -> BareEncoder:
    return BareEncoder()


@pytest.fixture
def index(tmp_path: Path, encoder: BareEncoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index whose ``add`` commits every two records."""
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 2)
    with opened(tmp_path / "i", model=encoder) as index:
        yield index


def told(errors: list[TextTooLong | TextWithoutToken]) -> list[tuple[int | None, str | None, str]]:
    return [(error.item, error.key, error.text) for error in errors]


@pytest.mark.parametrize("on_long", FATES)
def test_the_first_text_without_a_token_is_named_and_its_commit_stores_nothing(index: Index, on_long: OnLong) -> None:
    with pytest.raises(TextWithoutToken) as caught:
        index.add(["one", "two", "three", "~ ~", "~"], keys=list("abcde"), on_long=on_long)
    assert told([caught.value]) == [(3, "d", "~ ~")]
    assert set(state_of(index)) == {"a", "b"}


@pytest.mark.parametrize("on_long", FATES)
def test_texts_without_a_token_are_skipped_and_reported_on_request(index: Index, on_long: OnLong) -> None:
    errors: list[TextTooLong | TextWithoutToken] = []
    texts = ["~", "two", "three", "~ ~", "~", "~", "seven"]
    report = index.add(texts, keys=list("abcdefg"), on_long=on_long, on_bad=errors.append)
    assert report == AddReport(added=3)
    assert told(errors) == [(0, "a", "~"), (3, "d", "~ ~"), (4, "e", "~"), (5, "f", "~")]
    assert {key: text for key, (text, _) in state_of(index).items()} == {"b": "two", "c": "three", "g": "seven"}
    assert index.verify().ok


def test_texts_that_are_too_long_are_skipped_and_reported_on_request(index: Index) -> None:
    errors: list[TextTooLong | TextWithoutToken] = []
    long = "word " * 2 * MAX_TOKENS
    texts = ["one", long, "three", long, "~"]
    options: dict[str, Any] = {"on_long": "error", "on_duplicate": "last", "on_bad": errors.append}
    assert index.add(texts, keys=["a", "a", "b", "c", "d"], **options) == AddReport(added=2)
    assert sorted((type(error).__name__, error.item, error.key) for error in errors) == [
        ("TextTooLong", 1, "a"),
        ("TextTooLong", 3, "c"),
        ("TextWithoutToken", 4, "d"),
    ]
    assert {key: text for key, (text, _) in state_of(index).items()} == {"a": "one", "b": "three"}
    with pytest.raises(TextTooLong):
        index.add(texts, keys=["a", "a", "b", "c", "d"], on_long="error", on_duplicate="last")


def test_no_text_is_tokenized_twice_if_all_have_a_token(index: Index, encoder: BareEncoder) -> None:
    index.add(["one", "two", "three"], on_bad=lambda error: pytest.fail(str(error)))
    assert encoder.encoded == 3


def test_an_index_of_texts_without_a_token_stays_empty(index: Index) -> None:
    errors: list[TextTooLong | TextWithoutToken] = []
    assert index.add(["~", "~ ~", "~ ~ ~"], on_bad=errors.append) == AddReport()
    assert (len(errors), len(index), index._space()) == (3, 0, None)


def test_the_record_stored_under_its_key_stays_whole_or_in_parts(index: Index) -> None:
    long = " ".join(f"w{n}" for n in range(2 * MAX_TOKENS))
    index.add([long, "one"], keys=["a", "b"], on_long="split")
    before = state_of(index)
    assert set(before) == {"a#1", "a#2", "a#3", "b"}
    errors: list[TextTooLong | TextWithoutToken] = []
    assert index.add(["~", "~"], keys=["a", "b"], on_long="split", on_bad=errors.append) == AddReport()
    assert (len(errors), state_of(index)) == (2, before)


@pytest.mark.parametrize("asked", [True, False])
def test_a_model_changed_meanwhile_reports_texts_without_a_token_too(
    index: Index, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    class Other(BareEncoder):
        nothing = "two"

    real, tries, errors = Writer.add, list[int](), list[TextTooLong | TextWithoutToken]()

    def overtaken(self: Writer, *arguments: Any, **named: Any) -> Any:
        tries.append(1)
        if len(tries) > 1:
            return real(self, *arguments, **named)
        monkeypatch.setattr(index._model, "encoder", lambda space: Other(weights="v" * 64))
        raise MissingVectors(["needed too"])

    monkeypatch.setattr(Writer, "add", overtaken)
    texts = ["one", "two", "three", "~", "five"]
    if asked:
        assert index.add(texts, keys=list("abcde"), on_bad=errors.append) == AddReport(added=4)
        assert told(errors) == [(1, "b", "two")]
        assert set(state_of(index)) == {"a", "c", "d", "e"}
        assert index.verify().ok
    else:
        with pytest.raises(TextWithoutToken) as caught:
            index.add(texts, keys=list("abcde"))
        assert (told([caught.value]), len(index)) == ([(1, "b", "two")], 0)


WORDS = ["~", *(f"w{n}" for n in range(2 * MAX_TOKENS))]
TEXTS = st.sampled_from(["~", "~ ~", "one", "two ~", " ".join(WORDS), " ".join(WORDS[::-1])])


@examples(150)
@given(st.lists(st.tuples(st.sampled_from("abc"), TEXTS), max_size=12), st.sampled_from(["truncate", "split", "mean"]))
def test_skipped_texts_leave_no_trace_in_the_index(adds: list[tuple[str, str]], on_long: OnLong) -> None:
    states = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        patch.setattr(encode_ahead, "RECORDS_A_READ", 5)
        patch.setattr(encode_ahead, "TEXTS_TO_BEGIN_WITH", 1)
        patch.setattr(BareEncoder, "texts_at_once", 2)  # so that a window has several commits
        for name, some in (("all", adds), ("good", [(key, text) for key, text in adds if text.strip("~ ")])):
            with opened(Path(home) / name, model=BareEncoder()) as index:
                index.add(
                    [t for _, t in some],
                    keys=[k for k, _ in some],
                    on_long=on_long,
                    on_duplicate="last",
                    on_bad=lambda _: None,
                )
                assert index.verify().ok
                states.append(state_of(index))
    assert states[0] == states[1]


# --- on the command line ---------------------------------------------------------------------------------------------

BAD = '{"text": "\\u200b\\u200b"}\n'


@pytest.fixture
def model(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A static embedding; the files ``a.txt``, of one good row, and ``b.jsonl``, whose fourth line is of nothing."""
    monkeypatch.setenv("VECINDEX_INDEX", "i")
    (here / "a.txt").write_text("the quick fox\n")
    (here / "b.jsonl").write_text(f'{{"text": "it rains"}}\n\n"bad"\n{BAD}{{"text": "the sea"}}\n')
    return str(static_model(here / "model"))


NO_TOKEN = "b.jsonl:4: the text '\\u200b\\u200b' has no tokens"


def test_the_file_and_line_of_a_text_without_a_token_are_named(model: str, here: Path) -> None:
    (here / "b.jsonl").write_text((here / "b.jsonl").read_text().replace('"bad"', ""))
    for more in ([], ["--text", "a dog"]):
        assert run("add", "a.txt", "b.jsonl", *more, "--model", model) == (
            *(1, ""),
            f"Error: {NO_TOKEN}\n"
            "This model adds no tokens of its own: leave the text out, or skip such texts with --skip-bad.\n",
        )
    code, _, err = run("add", "--text", "a dog", "--text", "\u200b", "--key", "d", "--key", "e", "--model", model)
    assert (code, err.splitlines()[0]) == (1, "Error: item 1, 'e': the text '\\u200b' has no tokens")


def test_a_text_without_a_token_is_skipped_with_other_bad_rows(model: str) -> None:
    code, out, err = run("add", "a.txt", "b.jsonl", "--skip-bad", "--model", model)
    assert (code, out) == (0, "")
    first, rest = err.split("\n", 1)
    assert first.startswith("Skipped: b.jsonl:3: ")
    assert rest == (
        f"Skipped: {NO_TOKEN}\n3 added, 0 updated, 0 unchanged; i holds 3 records.\nWarning: 2 bad rows left out.\n"
    )
    arguments = ["--skip-bad", "--text", "\u200b", "--key", "d", "--model", model]
    assert run("add", "-", "--format", "jsonl", *arguments, stdin=f'{BAD}{{"text": "a dog"}}\n')[2] == (
        "Skipped: item 0, 'd': the text '\\u200b' has no tokens\n"
        "Skipped: <stdin>:1: the text '\\u200b\\u200b' has no tokens\n"
        "1 added, 0 updated, 0 unchanged; i holds 4 records.\nWarning: 2 bad rows left out.\n"
    )


def test_only_the_first_of_many_are_named(model: str, here: Path) -> None:
    (here / "many.jsonl").write_text('{"text": "a dog"}\n' + BAD * 30)
    err = run("add", "many.jsonl", "--skip-bad", "--model", model)[2]
    assert err.count("Skipped: many.jsonl:") == 20
    assert err.endswith(
        "Skipped: many.jsonl:21: the text '\\u200b\\u200b' has no tokens\n"
        "1 added, 0 updated, 0 unchanged; i holds 1 record.\nWarning: 30 bad rows left out.\n"
    )


def test_only_texts_without_a_token_are_an_error(model: str, here: Path) -> None:
    (here / "none.jsonl").write_text(BAD)
    code, _, err = run("add", "none.jsonl", "--skip-bad", "--model", model)
    assert (code, err.splitlines()[-1]) == (1, "Error: nothing was added, since every row that was read is bad.")
