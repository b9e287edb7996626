"""Every public function with every kind of argument: taken for what it stands for, or refused by the library's error.

The functions and their parameters are found by inspection, so a new one is covered, or fails here until its kind of
argument is said in `KINDS`.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import importlib
import inspect
import io
import json
import types
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import Index, Record
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import InvalidFilter, InvalidInput, VecindexError
from vecindex.values.records import derive_key

from ..support.helpers import opened, small_index, state_of
from ..support.toy import DIMENSION, ToyEncoder

torch = pytest.importorskip("torch")


def optional(name: str) -> Any:
    """A library that may be absent; whoever asks something of it then skips."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


pandas, polars, pyarrow = optional("pandas"), optional("polars"), optional("pyarrow")


class Colour(enum.Enum):
    RED = "red"


class Named(str, enum.Enum):
    RED = "red"


class Text(str):
    """A string that writes itself otherwise."""

    def __str__(self) -> str:
        return "otherwise"


class WithItems:
    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: int) -> Any:
        return self._items[place]


class Hostile:
    """Fails at whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no array")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    __hash__ = object.__hash__


def holds_itself() -> list[Any]:
    it: list[Any] = []
    it.append(it)
    return it


# --- which functions there are, and what their parameters take

NOT_FOR_CALLERS = {"tokenize", "strings", "spans", "forward", "forward_beside", "padded"}
"""What a runtime supplies to `Encoder`, and what `Encoder` calls with its own results."""


def functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {"derive_key": derive_key}
    for name in vecindex.__all__:
        value = getattr(vecindex, name)
        if inspect.isfunction(value):
            found[name] = value
        elif inspect.isclass(value) and not issubclass(value, Exception) and not dataclasses.is_dataclass(value):
            for method, function in inspect.getmembers(value, inspect.isfunction):
                if method not in NOT_FOR_CALLERS and (not method.startswith("_") or method == "__init__"):
                    found[f"{name}.{method}"] = function
    return found


KINDS: dict[str, set[str]] = {
    "text": {"text", "against"},
    "query": {"query"},
    "key": {"key"},
    "field": {"field"},
    "texts": {"texts", "records", "queries"},
    "keys": {"keys"},
    "metadata": {"metadata"},
    "vectors": {"vectors"},
    "where": {"where"},
    "whole": {"k", "threads", "dimensions"},
    "real": {"lock_timeout", "recall", "latency_ms"},
    "flag": {"create", "readonly", "offline", "cache", "anew", "encode"},
    "call": {"progress", "on_bad"},
    "path": {"path", "destination", "source", "name_or_path", "model"},
    "choice": {"precision", "device", "runtime", "role", "on_long", "on_duplicate", "format"},
    "name": {"space"},
    "encoder": {"encoder"},
    "settings": {"settings"},
    "qrels": {"qrels"},
    "features": {"features", "token_vectors", "attention_mask"},
}
KIND = {parameter: kind for kind, parameters in KINDS.items() for parameter in parameters}
OTHER_KINDS = {("Index.export", "vectors"): "flag", ("derive_key", "metadata"): "object"}

PARAMETERS = [
    (name, parameter)
    for name, function in functions().items()
    for parameter in inspect.signature(function).parameters
    if parameter != "self"
]


def test_every_parameter_of_every_public_function_has_its_kind() -> None:
    assert {parameter for _, parameter in PARAMETERS} == set(KIND)
    assert len({name for name, _ in PARAMETERS}) >= 25


# --- what is refused

STAMP = datetime.datetime(2020, 1, 2)
# Each with the kinds of parameter for which it is right, or is judged by what it says.
ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "None": (lambda: None, ""),
    "True": (lambda: True, "flag"),
    "5": (lambda: 5, "whole real"),
    "-1": (lambda: -1, "real"),
    "2.5": (lambda: 2.5, "real"),
    "NaN": (lambda: float("nan"), ""),
    "a large integer": (lambda: 10**400, "whole"),
    "a complex number": (lambda: 1j, ""),
    "the empty string": (str, "text path field where"),
    "a lone surrogate": (lambda: "\ud800", "path where"),
    "bytes": (lambda: b"one", ""),
    "a bytearray": (lambda: bytearray(b"one"), ""),
    "a memoryview": (lambda: memoryview(b"one"), ""),
    "a dict": (lambda: {"one": 1}, "where object"),
    "a mapping proxy": (lambda: types.MappingProxyType({"one": 1}), "where object"),
    "a set": (lambda: {"nothing", "no"}, "keys"),
    "a list of integers": (lambda: [1, 2], "query features"),
    "texts and a number": (lambda: ["one", 5], ""),
    "texts and None": (lambda: ["one", None], "keys"),
    "texts and bytes": (lambda: ["one", b"two"], ""),
    "lists of texts": (lambda: [["one"], ["two"]], ""),
    "texts with a surrogate": (lambda: ["one", "\ud800"], ""),
    "a list that holds itself": (holds_itself, ""),
    "a generator of numbers": (lambda: (n for n in (1, 2)), "query texts features"),
    "an object": (object, ""),
    "one that fails": (Hostile, ""),
    "a class": (lambda: int, "call"),
    "a module": (lambda: json, ""),
    "an exception": (lambda: ValueError("no"), ""),
    "a path": (lambda: Path("nowhere"), "path"),
    "an open file": (lambda: io.StringIO("one\ntwo\n"), ""),
    "open bytes": (lambda: io.BytesIO(b"one\n"), "path"),
    "a Decimal": (lambda: decimal.Decimal("1.5"), ""),
    "a UUID": (lambda: uuid.UUID(int=1), ""),
    "an Enum": (lambda: Colour.RED, ""),
    "a datetime": (lambda: STAMP, ""),
    "a date": (lambda: STAMP.date(), ""),
    "a timedelta": (lambda: datetime.timedelta(1), ""),
    "bytes in an array": (lambda: np.array([b"one", b"two"]), ""),
    "masked texts": (lambda: np.ma.masked_array(["one", "two"], [False, True]), ""),
    "an array of 0 dimensions": (lambda: np.array("one"), ""),
    "a number of 0 dimensions": (lambda: np.array(5), ""),
    "a table of texts": (lambda: np.array([["one"], ["two"]]), ""),
    "complex vectors": (lambda: np.ones((2, DIMENSION), complex), ""),
    "packed bits": (lambda: np.packbits(np.ones((2, 8 * DIMENSION), bool), axis=1), ""),
    "truth values": (lambda: np.ones((2, DIMENSION), bool), ""),
    "masked vectors": (lambda: np.ma.masked_less(np.arange(2 * DIMENSION).reshape(2, -1), 3), ""),
    "vectors with None": (lambda: [[1.0] * (DIMENSION - 1) + [None]] * 2, ""),
    "vectors with NaN": (lambda: np.full((2, DIMENSION), np.nan), "features"),
    "vectors of strings": (lambda: np.full((2, DIMENSION), "1"), ""),
    "vectors of Decimals": (lambda: [[decimal.Decimal(1)] * DIMENSION] * 2, ""),
    "ragged vectors": (lambda: [[1.0] * DIMENSION, [1.0]], ""),
    "zeros": (lambda: np.zeros((2, DIMENSION)), ""),
    "dates": (lambda: np.full((2, DIMENSION), "2020-01-01", "datetime64[D]"), ""),
    "durations": (lambda: np.full((2, DIMENSION), 1, "timedelta64[D]"), ""),
    "a structured array": (lambda: np.zeros(2, [("a", "f4"), ("b", "f4")]), ""),
    "too large integers": (lambda: [[10**400] * DIMENSION] * 2, ""),
    "a number of torch": (lambda: torch.tensor(2), ""),
    "a sparse tensor": (lambda: torch.eye(2, DIMENSION).to_sparse(), ""),
    "a complex tensor": (lambda: torch.ones(2, DIMENSION, dtype=torch.complex64), ""),
    "a tensor without data": (lambda: torch.ones(2, DIMENSION, device="meta"), ""),
    "a tensor of truth values": (lambda: torch.ones(2, DIMENSION, dtype=torch.bool), ""),
    "an array of bytes": (lambda: array.array("B", b"one"), "features"),
    "what JSON has not": (lambda: [{"when": STAMP}] * 2, ""),
    "JSON of other names": (lambda: [{1: "one"}] * 2, ""),
    "a nan in JSON": (lambda: [{"a": float("nan")}] * 2, ""),
    "JSON that holds itself": (lambda: [{"a": holds_itself()}] * 2, ""),
}
if pandas:
    ODD |= {
        "pandas.DataFrame": (lambda: pandas.DataFrame({"one": ["a", "b"], "two": [1, 2]}), ""),
        "pandas.Series of numbers": (lambda: pandas.Series([1, 2]), "query texts features"),
        "pandas.Series with NaN": (lambda: pandas.Series(["one", None]), ""),
        "pandas.Series with NA": (lambda: pandas.Series(["one", pandas.NA], dtype="string"), ""),
        "pandas.Timestamp": (lambda: pandas.Timestamp("2020-01-02"), ""),
        "pandas.NaT": (lambda: pandas.NaT, ""),
        "pandas.NA": (lambda: pandas.NA, ""),
    }
if polars:
    ODD |= {
        "polars.DataFrame": (lambda: polars.DataFrame({"one": ["a", "b"], "two": [1, 2]}), ""),
        "polars.LazyFrame": (lambda: polars.LazyFrame({"one": ["a", "b"]}), ""),
        "polars.Series with null": (lambda: polars.Series(["one", None]), "keys"),
    }
if pyarrow:
    ODD |= {
        "pyarrow.Table": (lambda: pyarrow.table({"one": ["a", "b"]}), ""),
        "pyarrow.Array with null": (lambda: pyarrow.array(["one", None]), "keys"),
        "pyarrow.Scalar": (lambda: pyarrow.scalar("one"), ""),
    }

MEANT = {"features": "features", "vectors": "features"}


def base(name: str, folder: Path, without: str = "") -> dict[str, Any]:
    """Right arguments of a function, one for each parameter that must be given, and what makes it quick."""
    needed: dict[str, Any] = {
        **{"text": "one", "query": "one", "key": "a", "field": "n", "texts": ["one", "two"], "records": ["x", "y"]},
        **{"queries": ["one", "two"], "path": folder / "new", "destination": folder / "out.jsonl"},
        **{"source": folder / "export.jsonl", "role": "query"},
        **{"token_vectors": np.ones((2, 2, 3)), "attention_mask": np.ones((2, 2), int)},
        "features": [np.ones((1, 2, 3)), np.ones((1, 4, 3))],
    }
    more: dict[str, dict[str, Any]] = {
        "explain": {"encoder": ToyEncoder()},
        "open": {"model": ToyEncoder()},
        "Index.__init__": {"model": ToyEncoder()},
        "load_encoder": {"name_or_path": folder / "nowhere", "offline": True},
        "Index.migrate": {"model": ToyEncoder(weights="v" * 64)},
    }
    parameters = inspect.signature(functions()[name]).parameters
    required = {p for p in parameters if p in needed and parameters[p].default is inspect.Parameter.empty}
    if name == "Index.delete" and without != "where":
        required.add("keys")
        needed["keys"] = ["a"]
    return {**{p: needed[p] for p in required}, **more.get(name, {})}


def bound(name: str, index: Index) -> Callable[..., Any]:
    owner, _, method = name.rpartition(".")
    if owner == "Index" and method == "__init__":
        return Index
    if owner == "Index":
        return getattr(index, method)  # type: ignore[no-any-return]
    return getattr(ToyEncoder(), method) if owner == "Encoder" else functions()[name]


def refusal(call: Callable[..., Any], arguments: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as caught:
        call(**arguments)
    return caught.value.message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An index and its export, in the working directory."""
    folder = tmp_path_factory.mktemp("arguments")
    small_index(folder / "index")
    with opened(folder / "index") as index:
        index.export(folder / "export.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS, ids=[f"{n}({p})" for n, p in PARAMETERS])
def test_what_an_argument_cannot_be_is_refused_and_nothing_is_changed(folder: Path, name: str, parameter: str) -> None:
    default = inspect.signature(functions()[name]).parameters[parameter].default
    kind = OTHER_KINDS.get((name, parameter), KIND[parameter])
    there = sorted(folder.iterdir())
    with opened(folder / "index") as index:
        before = (index.info().generation, state_of(index))
        call = bound(name, index)
        right = base(name, folder, without=parameter)
        otherwise = "" if name != "Index.tune" else refusal(call, right)
        for what, (make, right_for) in ODD.items():
            if kind in right_for.split() or (what == "None" and default is None):
                continue
            try:
                call(**(right | {parameter: make()}))
            except VecindexError as error:
                refused = error
            except BaseException as error:
                raise AssertionError(f"{name}({parameter}={what}) raises {type(error).__name__}: {error}") from error
            else:
                raise AssertionError(f"{name}({parameter}={what}) is taken")
            assert isinstance(refused, (InvalidInput, InvalidFilter)), what  # and not for want of a model, say
            assert ("\n" not in refused.message, bool(refused.advice)) == (True, True), what
            assert refused.message != otherwise, what
        assert (index.info().generation, state_of(index)) == before
    assert sorted(folder.iterdir()) == there


# --- what is taken for what it stands for


def forms_of_texts(texts: list[str]) -> dict[str, Any]:
    named: dict[str, Callable[[], Any]] = {
        "a tuple": lambda: tuple(texts),
        "a generator": lambda: (text for text in texts),
        "a deque": lambda: collections.deque(texts),
        "keys of a dict": lambda: dict.fromkeys(texts).keys(),
        "values of a dict": lambda: dict(enumerate(texts)).values(),
        "what has items": lambda: WithItems(texts),
        "subclasses of str": lambda: [Text(text) for text in texts],
        "strings of numpy": lambda: [np.str_(text) for text in texts],
        "an array": lambda: np.array(texts),
        "an array of objects": lambda: np.array(texts, object),
    }
    if pandas:
        named |= {
            "pandas.Series": lambda: pandas.Series(texts, index=range(7, 7 + len(texts))),
            "pandas.Series of strings": lambda: pandas.Series(texts, dtype="string"),
            "pandas.Index": lambda: pandas.Index(texts),
            "pandas.Categorical": lambda: pandas.Categorical(texts),
        }
    if polars:
        named["polars.Series"] = lambda: polars.Series(texts)
    if pyarrow:
        named["pyarrow.Array"] = lambda: pyarrow.array(texts)
        named["pyarrow.ChunkedArray"] = lambda: pyarrow.chunked_array([texts[:1], texts[1:]])
    return {what: make() for what, make in named.items()}


def forms_of_vectors(numbers: Any) -> dict[str, Any]:
    """``numbers`` (2, D) are small whole numbers, which every type holds."""
    named: dict[str, Callable[[], Any]] = {
        **{kind: lambda kind=kind: numbers.astype(kind) for kind in ("f2", "f4", "f8", "g", "i1", "i2", "i8", ">f4")},  # type: ignore[misc]
        **{"Fortran order": lambda: np.asfortranarray(numbers), "every second": lambda: np.repeat(numbers, 2, 0)[::2]},
        **{"lists": lambda: numbers.tolist(), "tuples": lambda: tuple(map(tuple, numbers.tolist()))},
        **{"arrays in a list": lambda: list(numbers), "a generator": lambda: (row for row in numbers)},
        "an array of arrays": lambda: object_array(list(numbers)),
        "nothing masked": lambda: np.ma.masked_array(numbers),
        "a tensor": lambda: torch.tensor(numbers, dtype=torch.float32),
        "one that needs gradients": lambda: torch.tensor(numbers, dtype=torch.float32, requires_grad=True),
        "bfloat16": lambda: torch.tensor(numbers, dtype=torch.bfloat16, requires_grad=True),
        "tensors in a list": lambda: list(torch.tensor(numbers, dtype=torch.float16, requires_grad=True)),
    }
    if pandas:
        named["pandas.Series"] = lambda: pandas.Series(numbers.tolist(), index=[4, 2])
    if polars:
        named["polars.Series"] = lambda: polars.Series(numbers.tolist())
    if pyarrow:
        named["pyarrow.Array"] = lambda: pyarrow.array(numbers.tolist(), pyarrow.list_(pyarrow.float32()))
        named["pyarrow, fixed in size"] = lambda: pyarrow.array(
            numbers.tolist(), pyarrow.list_(pyarrow.float32(), numbers.shape[1])
        )
    return {what: make() for what, make in named.items()}


def object_array(items: list[Any]) -> Any:
    made = np.empty(len(items), object)
    for place, item in enumerate(items):
        made[place] = item
    return made


VECTORS = np.array([[3, 4, *[0] * (DIMENSION - 2)], [*[0] * (DIMENSION - 1), -2]])


@pytest.mark.parametrize("what", forms_of_texts(["x"]))
def test_texts_come_in_many_forms(tmp_path: Path, what: str) -> None:
    texts, keys = ["red sun", "blue é"], ["k1", "k2"]
    with opened(tmp_path / "i") as index:
        index.add(forms_of_texts(texts)[what], keys=forms_of_texts(keys)[what], metadata=({"n": n} for n in (1, 2)))
        assert state_of(index) == {"k1": ("red sun", {"n": 1}), "k2": ("blue é", {"n": 2})}
        assert {type(part) for hit in index.search("red sun", k=2) for part in (hit.key, hit.text)} == {str}
        hits = index.search_many(texts)
        assert index.search_many(forms_of_texts(texts)[what]) == hits
        encoder = ToyEncoder()
        assert (encoder.encode(forms_of_texts(texts)[what]) == encoder.encode(texts)).all()
        assert encoder.count_tokens(forms_of_texts(texts)[what]) == [2, 2]
        assert index.delete(forms_of_texts(keys)[what]) == 2


@pytest.mark.parametrize("what", forms_of_vectors(VECTORS))
def test_vectors_come_in_many_forms(tmp_path: Path, what: str) -> None:
    with vecindex.open(tmp_path / "i") as index:
        index.add(["one", "two"], keys=["1", "2"], vectors=forms_of_vectors(VECTORS)[what], space="theirs")
        assert index.get("1").vector == pytest.approx([0.6, 0.8, *[0] * (DIMENSION - 2)])
        assert index.get("2").vector == pytest.approx([*[0] * (DIMENSION - 1), -1])
        scores = [[hit.score for hit in hits] for hits in index.search_many(forms_of_vectors(VECTORS)[what])]
        assert scores == [pytest.approx([1, 0]), pytest.approx([1, 0])]
        first = next(iter(forms_of_vectors(VECTORS)[what]))
        if "pyarrow" not in what:  # an item of those is no vector of Python's
            assert index.search(first, k=1)[0].key == "1"
            records = [Record("three", "3", vector=first)]
            assert index.add(records, space="theirs").added == 1
            assert index.get("3").vector == pytest.approx(index.get("1").vector)


def test_numbers_flags_and_names_of_numpy_are_what_they_hold(tmp_path: Path) -> None:
    small_index(tmp_path / "i")
    with opened(
        tmp_path / "i",
        create=np.bool_(False),
        readonly=np.True_,
        lock_timeout=np.float32(0.5),
        threads=np.int8(1),
    ) as index:
        assert index.readonly is True
        assert [hit.key for hit in index.search(Text("one"), k=np.uint8(1))] == ["a"]
        assert index.get(np.str_("a")).text == "one"
        assert index.similar(Text("a"), k=np.int64(1)) == index.similar("a", k=1)
        expected = index.search("one", where={"n": 3})
        assert [hit.key for hit in expected] == ["d"]
        for three in (np.int64(3), np.float16(3), np.array(3), fractions.Fraction(3).numerator):
            assert index.search("one", where={"n": three}) == expected
            assert index.search("one", where={"n": {"$in": [three]}}) == expected
        assert index.search("one", where={"n": {"$in": np.array([3, 9])}}) == expected
        assert index.search("one", where=np.str_("n = 3")) == expected
    with opened(tmp_path / "i", lock_timeout=fractions.Fraction(1, 2)) as index:
        assert index.delete({"d", np.str_("a")}) == 2
        exported = index.export(Text(tmp_path / "e"), np.str_("npy"))
        assert exported.records == 1
        assert ToyEncoder().encode(["one"], role=np.str_("query")).shape == (1, DIMENSION)


def test_metadata_takes_scalars_of_numpy_and_says_what_json_has_not(tmp_path: Path) -> None:
    right = {
        "i": np.int64(1),
        "f": np.float32(0.5),
        "b": np.True_,
        "s": np.str_("x"),
        "a": [np.array(2)],
        "e": Named.RED,
    }
    with opened(tmp_path / "i") as index:
        index.add(["one"], keys=["a"], metadata=[right])
        stored = {"i": 1, "f": 0.5, "b": True, "s": "x", "a": [2], "e": "red"}
        assert index.get("a").metadata == stored
        assert index.search("one", where={"i": 1, "b": True, "e": "red"})[0].key == "a"


WRONG_ITEMS: list[tuple[Any, str, str]] = [
    (None, "not NoneType", "Leave it out (pandas: dropna())."),
    (float("nan"), "not float", "Leave it out (pandas: dropna())."),
    (5, "not int", "Convert it with str() first."),
    (np.int64(5), "not int64", "Convert it with str() first."),
    (decimal.Decimal("1.5"), "not Decimal", "Convert it with str() first."),
    (uuid.UUID(int=1), "not UUID", "Convert it with str() first."),
    (Path("x"), "not PosixPath", "Convert it with str() first."),
    (Colour.RED, "not Colour", "Write its value: item.value."),
    (b"one", "not bytes", "Decode it: bytes(item).decode('utf-8')."),
    (memoryview(b"one"), "not memoryview", "Decode it: bytes(item).decode('utf-8')."),
    (STAMP, "not datetime", "Write item.isoformat()."),
    ({"text": "x"}, "not dict", "Take the text out of it, such as item['text']."),
    (["a", "b"], "not list", "Each item is one string; join several with ' '.join(item)."),
    (np.array(["a"]), "not ndarray", "Each item is one string."),
]
if pandas:
    WRONG_ITEMS += [
        (pandas.NaT, "not NaTType", "Leave it out (pandas: dropna())."),
        (pandas.NA, "not NAType", "Leave it out (pandas: dropna())."),
        (pandas.Timestamp("2020-01-02"), "not Timestamp", "Write item.isoformat()."),
    ]


@pytest.mark.parametrize(("item", "kind", "advice"), WRONG_ITEMS, ids=[kind for _, kind, _ in WRONG_ITEMS])
def test_an_item_that_is_no_text_is_refused_by_its_number_and_with_its_conversion(
    tmp_path: Path, item: Any, kind: str, advice: str
) -> None:
    with opened(tmp_path / "i") as index:
        calls: list[tuple[Callable[[], Any], str]] = [
            (lambda: index.add(["a", "b", item]), "a text"),
            (lambda: index.add(iter(["a", "b", item])), "a text"),
            (lambda: index.delete(["a", "b", item]), "a key"),
            (lambda: ToyEncoder().encode(["a", "b", item]), "a text"),
            (lambda: index.search_many(["a", "b", item]), "a query"),
        ]
        if item is not None:
            calls.append((lambda: index.add(["a", "b", "c"], keys=["a", "b", item]), "a key"))
        for call, what in calls:
            with pytest.raises(InvalidInput) as caught:
                call()
            assert (caught.value.message, caught.value.advice) == (f"item 2: {what} must be a string, {kind}", advice)
        assert len(index) == 0


WRONG_METADATA: list[tuple[Any, str, str]] = [
    (float("nan"), "metadata['a'] is nan", "Write None, or leave it out."),
    (float("-inf"), "metadata['a'] is -inf", "Write None, or leave it out."),
    (np.float32("nan"), "metadata['a'] is nan", "Write None, or leave it out."),
    ([1, (2,)], "metadata['a'][1] is a tuple", "Write a list: list(value)."),
    ({"b": {1, 2}}, "metadata['a']['b'] is a set", "Write a list: sorted(value)."),
    ({1: 2}, "a name in metadata['a'] is 1", "Names are strings: convert it with str()."),
    (decimal.Decimal("1.5"), "metadata['a'] is a Decimal", "Write float(value), or str(value) to keep every digit."),
    (STAMP, "metadata['a'] is a datetime", "Write value.isoformat()."),
    (uuid.UUID(int=1), "metadata['a'] is an UUID", "Convert it with str() first."),
    (Colour.RED, "metadata['a'] is a Colour", "Write its value: value.value."),
    (b"x", "metadata['a'] is a bytes", "Decode it: bytes(value).decode('utf-8')."),
    (np.arange(3), "metadata['a'] is a ndarray", "Write its numbers: value.tolist()."),
    (torch.ones(2), "metadata['a'] is a Tensor", "Write its numbers: value.tolist()."),
]


@pytest.mark.parametrize(("value", "reason", "advice"), WRONG_METADATA, ids=[reason for _, reason, _ in WRONG_METADATA])
def test_metadata_that_json_cannot_hold_is_refused_by_its_place(
    tmp_path: Path, value: Any, reason: str, advice: str
) -> None:
    with opened(tmp_path / "i") as index:
        with pytest.raises(InvalidInput) as caught:
            index.add(["one", "two"], metadata=[{}, {"a": value}])
        assert caught.value.message.startswith("item 1: metadata ")
        assert caught.value.message.endswith(f": {reason}")
        assert caught.value.advice == advice
        with pytest.raises(InvalidFilter):
            index.search("one", where={"a": {"$eq": value}})


def test_a_table_or_a_mapping_is_never_taken_for_the_names_in_it(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        for table in filter(None, (pandas, polars)):
            with pytest.raises(InvalidInput) as caught:
                index.add(table.DataFrame({"text": ["a"], "year": [1]}))
            assert caught.value.message == "records is a DataFrame, a table with several columns"
            assert caught.value.advice == "Pass one of its columns, such as table['text']."
            with pytest.raises(InvalidInput, match="metadata is a DataFrame, a table with several columns"):
                index.add(["a"], metadata=table.DataFrame({"year": [1]}))
        with pytest.raises(InvalidInput, match="texts is one dict, not a sequence"):
            ToyEncoder().encode({"a": 1})  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="records is a set, which has no order"):
            index.add({"a", "b"})
        index.add(["one", "two"])
        with pytest.raises(InvalidInput, match="queries is one str, not a sequence"):
            index.migrate(ToyEncoder(weights="v" * 64), queries="abc")
        assert len(index) == 2


def test_pooling_takes_tensors_of_every_kind_and_nothing_that_is_missing() -> None:
    states, mask = np.array([[[1.0, 2], [3, 6]], [[5, 5], [9, 9]]]), np.array([[1, 1], [1, 0]])
    expected = [[2, 4], [5, 5]]
    for vectors in (states, states.astype("g"), states.astype("f2"), states.tolist(), np.ma.masked_array(states)):
        for real in (mask, mask.astype(bool), mask.astype("u1"), mask.astype("f4"), torch.tensor(mask)):
            assert vecindex.mean_pool(vectors, real).tolist() == expected
    for kind in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        tensor = torch.tensor(states, dtype=kind, requires_grad=True)
        for real in (mask, mask.astype("u1"), mask.tolist(), torch.tensor(mask).bool()):
            assert vecindex.mean_pool(tensor, real).tolist() == expected
        items = [item[None] for item in tensor]
        assert vecindex.pool_features(items).tolist() == [[2, 4], [7, 7]]
    for item in ([[[1.0, None]]], [[[1.0, "2"]]], [[[1j, 2]]], [[[True, False]]]):
        with pytest.raises(InvalidInput, match=r"^the features of item 1 are"):
            vecindex.pool_features([[[[1.0, 2.0]]], item])
    with pytest.raises(InvalidInput, match=r"^the token vectors hold a number that is too large for float32"):
        vecindex.mean_pool(states * 1e300, mask)


def test_the_wrong_number_of_arguments_is_pythons_own_error(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        with pytest.raises(TypeError, match=r"^Reader\.search\(\) missing 1 required positional argument: 'query'"):
            index.search()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"^Index\.add\(\) got an unexpected keyword argument 'text'"):
            index.add(["a"], text=["b"])  # type: ignore[call-arg]
    assert str(inspect.signature(Encoder.encode)).startswith(
        "(self, texts: 'Sequence[str]', role: 'Role' = 'document')"
    )
