"""Biases around layer norms: what goes into weights gives the same vectors, and what cannot go there stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vecindex import load_encoder
from vecindex.encoders.compile import bias_folding, token_layout
from vecindex.encoders.compile.bias_folding import fold_biases
from vecindex.encoders.locate.vecindex_cache import compiled_folder
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.onnx import DATA_FILE, MODEL_FILE

from ...support.models.graphs import RANDOM, WIDTH, Counted, Graph, matrix, run, vector
from ...support.models.small_model import SmallModel


def folded(graph: Graph, folder: Path, *outputs: str) -> tuple[int, Counted]:
    """How many biases were folded, and what the graph is then, which must give what it gave before."""
    source, target = graph.save(folder / "plain.onnx", *outputs), folder / "folded" / "model.onnx"
    target.parent.mkdir()
    count = fold_biases(source, target)
    assert target.exists() == (count > 0)
    target = target if count else source
    x = RANDOM.standard_normal((50, WIDTH)).astype(np.float32) * 3 + 1
    for before, after in zip(run(source, x=x), run(target, x=x), strict=True):
        np.testing.assert_allclose(after, before, rtol=0, atol=2e-5)
    return count, Counted(onnx.load(str(target)))


def test_all_biases_of_a_post_norm_layer_are_folded(tmp_path: Path) -> None:
    graph = Graph()
    h = graph.norm("x")
    parts = [graph.dense(h, first=first) for first in (True, False, True)]
    attended = graph.dense(graph.node("Mul", graph.node("Softmax", graph.node("Mul", *parts[:2])), parts[2]))
    h = graph.norm(graph.node("Add", attended, h))
    out = graph.norm(graph.node("Add", h, graph.feed_forward(h)))
    count, after = folded(graph, tmp_path, out)
    assert count == 6
    assert after.kinds["Add"] == 2  # the sums before the norms


def test_in_a_pre_norm_layer_only_the_biases_of_the_norms_products_are_folded(tmp_path: Path) -> None:
    graph = Graph()
    stream = "x"
    for _ in range(2):
        stream = graph.node("Add", stream, graph.feed_forward(graph.norm(stream)))
    count, after = folded(graph, tmp_path, stream)
    assert (count, after.kinds["Add"]) == (2, 4)


def test_reading_only_the_shape_does_not_prevent_folding(tmp_path: Path) -> None:
    graph = Graph()
    h = graph.norm("x")
    shaped = graph.node("Reshape", graph.dense(h), graph.node("Shape", h))
    assert folded(graph, tmp_path, shaped)[0] == 1


def test_two_norms_that_share_constants_are_folded(tmp_path: Path) -> None:
    graph = Graph()
    scale, offset = graph.constant(vector(about=1)), graph.constant(vector())
    h = graph.norm("x", scale, offset)
    h = graph.norm(graph.node("Add", h, graph.feed_forward(h)), scale, offset)
    out = graph.norm(graph.node("Add", h, graph.feed_forward(h)), scale, offset)
    assert folded(graph, tmp_path, out)[0] == 4


def seen(graph: Graph, h: str) -> Sequence[str]:
    """The norm's output is an output of the model too."""
    return h, graph.dense(h)


def used_otherwise(graph: Graph, h: str) -> Sequence[str]:
    return graph.dense(h), graph.node("Mul", h, h)


def added_and_not_normed(graph: Graph, h: str) -> Sequence[str]:
    return [graph.node("Tanh", graph.node("Add", h, graph.dense(h)))]


def added_twice(graph: Graph, h: str) -> Sequence[str]:
    return [graph.norm(graph.node("Add", h, graph.feed_forward(h))), graph.norm(graph.node("Add", h, graph.dense(h)))]


def a_sum_that_is_seen(graph: Graph, h: str) -> Sequence[str]:
    both = graph.node("Add", h, graph.feed_forward(h))
    return graph.norm(both), both


def a_norm_of_another_axis(graph: Graph, h: str) -> Sequence[str]:
    """Behind a sum: it takes away another mean, to which a constant is something."""
    both = graph.node("Reshape", graph.node("Add", h, graph.feed_forward(h)), graph.constant(np.array([-1, 2, 4])))
    return [graph.norm(both, vector(8).reshape(2, 4), vector(8).reshape(2, 4), axis=1)]


def a_mean_that_is_seen(graph: Graph, h: str) -> Sequence[str]:
    out = graph.norm(graph.node("Add", h, graph.feed_forward(h)))
    graph.nodes[-1].output.append("mean")
    return out, "mean"


def a_sum_that_is_an_offset(graph: Graph, h: str) -> Sequence[str]:
    tokens = graph.node("Slice", h, *(graph.constant(np.array([n])) for n in (0, 1, 0)))
    offset = graph.node("Add", tokens, graph.dense(tokens))
    return [graph.norm("x", vector(about=1), graph.node("Reshape", offset, graph.constant(np.array([-1]))))]


def normed_over_one_number(graph: Graph, h: str) -> Sequence[str]:
    """Constants of one number, which stands for all."""
    one = graph.norm("x", vector(1, about=1), vector(1))
    return [graph.dense(one)]


def one_matrix_for_two(graph: Graph, h: str) -> Sequence[str]:
    shared = graph.constant(matrix(WIDTH, WIDTH))
    return graph.dense(h, weight=shared), graph.dense(h, weight=shared)


def with_a_product_of_two(graph: Graph, h: str) -> Sequence[str]:
    """The right side of a product is not a constant."""
    return [graph.dense(h), graph.node("MatMul", h, graph.node("Transpose", "x", perm=[1, 0]))]


@pytest.mark.parametrize(
    "rest",
    [
        *(seen, used_otherwise, added_and_not_normed, added_twice, one_matrix_for_two, with_a_product_of_two),
        *(a_sum_that_is_seen, a_norm_of_another_axis, a_mean_that_is_seen, a_sum_that_is_an_offset),
        normed_over_one_number,
    ],
)
def test_a_norm_with_any_other_use_is_unchanged(rest: Any, tmp_path: Path) -> None:
    graph = Graph()
    count, after = folded(graph, tmp_path, *rest(graph, graph.norm("x")))
    assert count == 0
    assert {name: value.tolist() for name, value in after.constants.items()} == {
        name: value.tolist() for name, value in graph.constants.items()
    }


def test_the_added_bias_is_kept_if_something_else_reads_the_sum(tmp_path: Path) -> None:
    graph = Graph()
    h = graph.norm("x")
    added = graph.feed_forward(h)
    out = graph.norm(graph.node("Add", h, added))
    count, after = folded(graph, tmp_path, out, added)
    assert (count, after.kinds["Add"]) == (1, 2)


def test_a_norm_with_a_scale_near_zero_is_folded(tmp_path: Path) -> None:
    graph = Graph()
    h = graph.norm("x", np.array([1e-4] + [1.0] * (WIDTH - 1), dtype=np.float32))
    assert folded(graph, tmp_path, graph.dense(h))[0] == 1


def test_the_added_bias_is_kept_if_something_else_reads_its_product(tmp_path: Path) -> None:
    graph = Graph()
    h = graph.norm("x")
    added = graph.feed_forward(h)
    out = graph.norm(graph.node("Add", h, added))
    count, _ = folded(graph, tmp_path, out, graph.nodes[-3].input[0])
    assert count == 1


def test_a_bias_that_is_both_added_and_of_a_product_is_folded_once(tmp_path: Path) -> None:
    graph = Graph()
    h = graph.norm("x")
    assert folded(graph, tmp_path, graph.norm(graph.node("Add", h, graph.dense(h))))[0] == 1


def test_a_bias_of_one_number_is_not_folded(tmp_path: Path) -> None:
    graph = Graph()
    h = graph.norm("x")
    added = graph.node("Add", graph.node("Tanh", graph.dense(h)), graph.constant(vector(1)))
    assert folded(graph, tmp_path, graph.norm(graph.node("Add", h, added)))[0] == 1


def test_a_norm_over_the_last_two_axes_is_not_folded(tmp_path: Path) -> None:
    graph = Graph()
    scale, offset = (vector(WIDTH).reshape(2, 4) for _ in range(2))
    split = graph.node("Reshape", "x", graph.constant(np.array([-1, 2, 4])))
    h = graph.norm(split, scale, offset, axis=-2)
    product = graph.node("MatMul", h, graph.constant(matrix(4, 4)))
    assert folded(graph, tmp_path, graph.node("Add", product, graph.constant(vector(4))))[0] == 0


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_the_mean_of_the_added_bias_does_not_matter(size: float) -> None:
    scale, offset = np.linspace(0.5, 1.5, WIDTH), np.linspace(-0.2, 0.3, WIDTH)
    shift, _ = bias_folding._plane(scale, offset, np.full(WIDTH, size)) or pytest.fail("it can be moved")
    assert np.abs(shift).max() < 1.5


def test_an_added_bias_that_would_drown_the_norm_is_not_folded() -> None:
    added = np.linspace(-500.0, 500.0, WIDTH)
    assert bias_folding._plane(np.ones(WIDTH), np.zeros(WIDTH), added) is None


@pytest.mark.parametrize("scales", [[0.0] + [1.0] * (WIDTH - 1), [1.0, -1.0] * (WIDTH // 2)])
def test_a_norm_is_not_folded_if_rounding_errors_would_grow(scales: list[float], tmp_path: Path) -> None:
    graph = Graph()
    offset = np.full(WIDTH, 0.01, dtype=np.float32)
    offset[0] = 0.02
    h = graph.norm("x", np.array(scales, dtype=np.float32), offset)
    assert folded(graph, tmp_path, graph.dense(h))[0] == 0


def test_the_plane_stays_away_from_the_origin() -> None:
    scale, added = np.linspace(0.5, 1.5, WIDTH), np.zeros(WIDTH)
    offset = np.linspace(-1.0, 1.0, WIDTH)
    offset -= (offset / scale).sum() / (1 / scale).sum()  # Σ d/g = 0: the plane of h goes through the origin
    for way in (-0.9, 0.0, 0.9):  # and nearly so on the other side of either shift
        shift, one = bias_folding._plane(scale, offset + way, added) or pytest.fail("it can be moved")
        z = RANDOM.standard_normal((20, WIDTH))
        h = scale * (z - z.mean(axis=1, keepdims=True)) + offset + way + shift
        np.testing.assert_allclose(h @ one, 1)
        assert np.linalg.norm(one) * np.abs(h).max() < bias_folding.MOST_GROWTH


# --- in a compiled model ---------------------------------------------------------------------------------------------


def test_the_compiled_default_model_adds_no_bias(encoder: Encoder) -> None:
    graph = onnx.load(str(compiled_folder(encoder.space.fingerprint) / MODEL_FILE), load_external_data=False).graph
    vectors = {each.name for each in graph.initializer if len(each.dims) == 1}
    adding = [node for node in graph.node if node.op_type in ("Add", "Gemm")]
    assert adding
    assert [node.name for node in adding if vectors.intersection(node.input)] == []


def test_int8_is_made_without_folding(small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(tmp_path)

    def constants(cache: str) -> bytes:
        monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / cache))
        encoder = load_encoder(model, precision="int8")
        return (compiled_folder(encoder.space.fingerprint) / DATA_FILE).read_bytes()

    usual = constants("usual")
    monkeypatch.setattr(bias_folding, "fold_biases", _fails)
    assert constants("unfolded") == usual


def _fails(source: Path, target: Path) -> int:
    raise OSError(28, "No space left on device")


def _wrong(source: Path, target: Path) -> int:
    model = onnx.load(str(source))
    norm = next(node for node in model.graph.node if node.op_type == "LayerNormalization")
    norm.input[2] = norm.input[1]
    onnx.save(model, str(target))
    return 1


@pytest.mark.parametrize("rewrite", [_fails, _wrong])
@pytest.mark.parametrize("place", [(bias_folding, "fold_biases"), (token_layout, "lay_out")])
def test_a_model_that_cannot_be_rewritten_is_compiled_unchanged(
    rewrite: Any, place: tuple[Any, str], small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(tmp_path)
    expected = load_encoder(model).encode(["the cat"])
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(*place, rewrite)
    encoder = load_encoder(model)
    assert encoder.runtime == "onnxruntime"
    np.testing.assert_allclose(encoder.encode(["the cat"]), expected, atol=1e-6)
