"""Public functions refuse wrong arguments of every type with an error of this package.

Functions and parameters are found by inspection. A new parameter fails here until `KINDS` has its kind.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import AsyncRemoteIndex, ForeignEncoder, Index, RemoteIndex
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import InvalidFilter, InvalidInput, SourceError, VecindexError
from vecindex.values.keys import derive_key

from ..support.helpers import opened, small_index, state_of
from ..support.odd_values import ODD
from ..support.toy import ToyEncoder

# --- the public functions, and the kinds of their parameters

NOT_FOR_CALLERS = {
    *("tokenize", "strings", "spans", "offsets", "forward", "forward_beside", "padded"),
    *("tokens", "states"),
}
"""Methods of `Encoder` that a runtime implements, or that `Encoder` calls with its own results."""


def functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {"derive_key": derive_key}
    for name in vecindex.__all__:
        value = getattr(vecindex, name)
        if inspect.isfunction(value):
            found[name] = value
        elif inspect.isclass(value) and not issubclass(value, Exception) and not dataclasses.is_dataclass(value):
            for method, function in inspect.getmembers(value, inspect.isfunction):
                if value is ForeignEncoder and method != "__init__":
                    continue  # the methods of `Encoder`
                if value in (RemoteIndex, AsyncRemoteIndex):
                    continue  # the tests of the client compare them with `Index`
                if method not in NOT_FOR_CALLERS and (not method.startswith("_") or method == "__init__"):
                    found[f"{name}.{method}"] = function
    return found


KINDS: dict[str, set[str]] = {
    "text": {"text", "against", "key_column", "json_path", "sql"},
    "query": {"query"},
    "key": {"key", "after"},
    "url": {"url", "token"},
    "field": {"field", "group_by"},
    "texts": {"texts", "records", "queries"},
    "keys": {"keys", "exclude", "not_"},
    "metadata": {"metadata"},
    "vectors": {"vectors", "vector"},
    "where": {"where"},
    "whole": {
        *("k", "per_group", "limit", "context", "threads", "dimensions", "dimension"),
        *("join_short", "sample", "seed", "top"),
    },
    "real": {
        "lock_timeout",
        "recall",
        "latency_ms",
        "rerank_ms",
        "timeout",
        "min_score",
        "min_percentile",
        "diversity",
    },
    "flag": {"create", "readonly", "offline", "cache", "anew", "encode", "prune"},
    "call": {"progress", "on_bad", "token_spans", "keep", "encode_documents", "encode_queries"},
    "path": {"path", "paths", "destination", "source", "name_or_path", "model", "compare", "rerank"},
    "choice": {
        *("precision", "device", "runtime", "role", "on_long", "on_duplicate", "format", "split"),
        *("types", "encoding", "errors", "mode", "fusion", "by", "modes", "fusions"),
    },
    "stages": {"reranks"},
    "index": {"index"},
    "weights": {"fields"},
    "cursor": {"cursor"},
    "name": {"space", "language", "name"},
    "columns": {"text_column", "metadata_columns", "include"},
    "encoder": {"encoder"},
    "settings": {"settings"},
    "qrels": {"qrels"},
    "features": {"features", "token_vectors", "attention_mask"},
}
KIND = {parameter: kind for kind, parameters in KINDS.items() for parameter in parameters}
OTHER_KINDS = {
    **{("Index.export", "vectors"): "flag", ("derive_key", "metadata"): "object"},
    **{
        ("Index.add_files", "metadata"): "object",
        ("Index.add_files", "exclude"): "columns",
        ("Index.add_files", "paths"): "path",
    },
    **{("evaluate_index", "queries"): "path", ("evaluate_index", "qrels"): "path"},
    **{("Index.add", "text"): "columns", ("Index.add", "key"): "text"},
    **{(f"Index.{name}", "key"): "keys" for name in ("similar", "explain_similar")},
}

PARAMETERS = [
    (name, parameter)
    for name, function in functions().items()
    for parameter in inspect.signature(function).parameters
    if parameter != "self"
]


def test_every_parameter_of_a_public_function_has_a_kind() -> None:
    assert {parameter for _, parameter in PARAMETERS} == set(KIND)
    assert len({name for name, _ in PARAMETERS}) >= 25


# --- wrong arguments


def base(name: str, folder: Path, without: str = "") -> dict[str, Any]:
    """Right arguments for the required parameters of a function, and options that make it quick."""
    needed: dict[str, Any] = {
        **{"text": "one", "query": "one", "key": "a", "field": "n", "texts": ["one", "two"], "records": ["x", "y"]},
        **{"queries": ["one", "two"], "path": folder / "new", "destination": folder / "out.jsonl"},
        **{"source": folder / "export.jsonl", "role": "query", "paths": [folder / "notes.txt"]},
        **{"token_vectors": np.ones((2, 2, 3)), "attention_mask": np.ones((2, 2), int)},
        **{"features": [np.ones((1, 2, 3)), np.ones((1, 4, 3))], "keep": lambda *vectors: None},
    }
    more: dict[str, dict[str, Any]] = {
        "explain": {"encoder": ToyEncoder()},
        "open": {"model": ToyEncoder()},
        "connect": {"url": "http://127.0.0.1:8000"},
        "connect_async": {"url": "http://127.0.0.1:8000"},
        "Index.__init__": {"model": ToyEncoder()},
        "ForeignEncoder.__init__": {"name": "theirs", "encode_documents": lambda texts: np.ones((len(texts), 3))},
        "load_encoder": {"name_or_path": folder / "nowhere", "offline": True},
        "Index.migrate": {"model": ToyEncoder(weights="v" * 64)},
        "evaluate_index": {"queries": {"q": "one"}, "qrels": {"q": {"a": 1}}},
    }
    parameters = inspect.signature(functions()[name]).parameters
    required = {p for p in parameters if p in needed and parameters[p].default is inspect.Parameter.empty}
    if name == "Index.delete" and without != "where":
        required.add("keys")
        needed["keys"] = ["a"]
    return {**{p: needed[p] for p in required}, **more.get(name, {})}


def bound(name: str, index: Index) -> Callable[..., Any]:
    owner, _, method = name.rpartition(".")
    if method == "__init__":
        return ForeignEncoder if owner == "ForeignEncoder" else Index
    if owner == "Index":
        return getattr(index, method)  # type: ignore[no-any-return]
    function = getattr(ToyEncoder(), method) if owner == "Encoder" else functions()[name]
    return functools.partial(function, index=index) if "index" in inspect.signature(function).parameters else function


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
    (folder / "notes.txt").write_text("one sentence\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS, ids=[f"{n}({p})" for n, p in PARAMETERS])
def test_a_wrong_argument_is_refused_and_nothing_is_changed(folder: Path, name: str, parameter: str) -> None:
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
                raise AssertionError(f"{name}({parameter}={what}) is accepted")
            expected = (
                InvalidInput,
                InvalidFilter,
                *([SourceError] if parameter == "paths" else []),
            )  # of no such file
            assert isinstance(refused, expected), what  # not a missing model, for example
            assert ("\n" not in refused.message, bool(refused.advice)) == (True, True), what
            assert refused.message != otherwise, what
        assert (index.info().generation, state_of(index)) == before
    assert sorted(folder.iterdir()) == there


def test_the_wrong_number_of_arguments_is_a_type_error(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        with pytest.raises(TypeError, match=r"^Searcher\.search\(\) missing 1 required positional argument: 'query'"):
            index.search()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"^Index\.add\(\) got an unexpected keyword argument 'texts'"):
            index.add(["a"], texts=["b"])  # type: ignore[call-arg]
    assert str(inspect.signature(Encoder.encode)).startswith(
        "(self, texts: 'Sequence[str]', role: 'Role' = 'document')"
    )
