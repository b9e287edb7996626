"""Int8: which products are rewritten whatever they are called, that a token's numbers depend on that token alone."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from vecindex import load_encoder
from vecindex.encoders.compile.quantise import Bits, Quantised, quantise
from vecindex.encoders.run import environment
from vecindex.encoders.run import onnx as runtime
from vecindex.encoders.run.agreement import Agreement, compare, measure
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.environment import has_exact_int8
from vecindex.encoders.run.onnx import OnnxEncoder
from vecindex.errors import InvalidInput

RANDOM = np.random.default_rng(0)
FLOAT = onnx.TensorProto.FLOAT


def array(*shape: int) -> Any:
    return RANDOM.standard_normal(shape).astype(np.float32)


def graph(path: Path, nodes: list[Any], constants: dict[str, Any], opset: int, kind: int = FLOAT) -> Path:
    """A model from x, of any shape, to y."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, None)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(path))
    return path


def run(path: Path, x: Any) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]


def both(path: Path, x: Any, bits: Bits = 8) -> tuple[Quantised, Any, Any]:
    """What was done, and what a model makes of ``x`` before and after."""
    done = quantise(path, path.with_name("int8.onnx"), bits)
    return done, run(path, x), run(path.with_name("int8.onnx"), x)


def unit_rows(count: int, width: int) -> Any:
    rows = array(count, width)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def close(one: Any, other: Any, bits: int = 8) -> bool:
    """Within what rounding to so many bits costs a sum of some dozens of products."""
    assert one.shape == other.shape
    error = np.abs(one - other).max() / np.abs(one).max()
    return bool(0 < error < (0.02 if bits == 8 else 0.04))


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("shape", [(5, 24), (2, 5, 24), (2, 3, 5, 24)])
def test_a_product_with_constant_weights_is_rewritten(tmp_path: Path, shape: tuple[int, ...], opset: int) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    done, before, after = both(graph(tmp_path / "m", nodes, {"w": array(24, 40)}, opset), array(*shape))
    assert done == Quantised(products=1, tables=0)
    assert close(before, after)


@pytest.mark.parametrize(
    "settings",
    [{}, {"transB": 1}, {"transB": 1, "alpha": 0.5, "beta": 2.0}, {"alpha": -3.0}],
    ids=["plain", "transposed", "scaled and transposed", "negative"],
)
@pytest.mark.parametrize("bias", [True, False])
def test_gemm_is_rewritten_with_its_settings(tmp_path: Path, settings: dict[str, Any], bias: bool) -> None:
    weight = array(40, 24) if "transB" in settings else array(24, 40)
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    nodes = [helper.make_node("Gemm", inputs, ["y"], **settings)]
    done, before, after = both(graph(tmp_path / "m", nodes, {"w": weight, "b": array(40)}, 17), array(7, 24))
    assert done.products == 1
    assert close(before, after)


def test_weights_are_found_through_identities_transposes_and_constant_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(array(24, 24))),
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("Transpose", ["same"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["one"]),
        helper.make_node("MatMul", ["x", "c"], ["other"]),
        helper.make_node("Add", ["one", "other"], ["y"]),
    ]
    path = graph(tmp_path / "m", nodes, {"w": array(24, 24)}, 17)
    done, before, after = both(path, array(2, 5, 24))
    assert done.products == 2
    assert close(before, after)
    rewritten = onnx.load(str(tmp_path / "int8.onnx")).graph
    kinds = [node.op_type for node in rewritten.node]
    assert kinds.count("QuantizeLinear") == 1, "products with the same input share its quantisation"
    assert not {"MatMul", "Transpose", "Identity", "Constant"} & set(kinds)
    assert all(each.data_type != FLOAT or len(each.dims) < 2 for each in rewritten.initializer), "old weights are kept"


def test_other_nodes_than_products_with_weights_are_unchanged(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"]),
        helper.make_node("MatMul", ["w", "a"], ["b"]),
        helper.make_node("Gemm", ["b", "w"], ["c"], transA=1),
        helper.make_node("Gather", ["w", "i"], ["d"]),  # a small table: of positions, say
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    constants = {"w": array(8, 8), "i": np.arange(8)}
    done, before, after = both(graph(tmp_path / "m", nodes, constants, 17), array(8, 8))
    assert done == Quantised(products=0, tables=0)
    assert np.array_equal(before, after)


def test_a_large_table_has_8_bits_and_a_scale_for_each_row(tmp_path: Path) -> None:
    table = array(2000, 16) * np.geomspace(1e-3, 1e3, 2000)[:, None].astype(np.float32)
    path = graph(
        tmp_path / "m", [helper.make_node("Gather", ["t", "x"], ["y"])], {"t": table}, 17, onnx.TensorProto.INT64
    )
    ids = np.array([[0, 1999], [7, 7]])
    done, before, after = both(path, ids)
    assert done == Quantised(products=0, tables=1)
    assert before.shape == (2, 2, 16)
    assert (np.abs(after - before).max(axis=-1) <= np.abs(before).max(axis=-1) / 127 * 0.501).all()


def test_a_row_does_not_depend_on_other_rows(tmp_path: Path) -> None:
    path = graph(tmp_path / "m", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": array(24, 40)}, 17)
    rows = array(6, 24) * np.array([1, 1000, 1e-4, 0, 1, 1], np.float32)[:, None]
    _, before, after = both(path, rows)
    for row in range(6):
        assert np.array_equal(after[row], run(tmp_path / "int8.onnx", rows[row : row + 1])[0])
    assert not after[3].any(), "a row of zeros stays one"
    assert close(before[2], after[2])


def test_7_bits_leave_room_for_the_sum_of_two_products(tmp_path: Path) -> None:
    path = graph(tmp_path / "m", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": array(24, 40)}, 17)
    _, before, after = both(path, array(5, 24), bits=7)
    assert close(before, after, bits=7)
    (weights,) = [
        numpy_helper.to_array(each)
        for each in onnx.load(str(tmp_path / "int8.onnx")).graph.initializer
        if each.data_type == onnx.TensorProto.INT8
    ]
    assert weights.min() >= -63
    assert weights.max() == 63
    assert 2 * 255 * 63 < 2**15  # the sum that overflows on processors without VNNI


def test_an_old_opset_is_refused(tmp_path: Path) -> None:
    path = graph(tmp_path / "m", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": array(4, 4)}, 12)
    with pytest.raises(ValueError, match="its graph has opset 12"):
        quantise(path, tmp_path / "int8.onnx", 8)


# --- the real model


@pytest.fixture(scope="module")
def int8(minilm: Path) -> Encoder:
    return load_encoder(precision="int8")


def test_int8_vectors_are_close_to_fp32_and_have_their_own_space(encoder: Encoder, int8: Encoder) -> None:
    texts = ["My name is Aun", "my name", "It rains.", "a long text " * 50]
    cosines = (encoder.encode(texts) * int8.encode(texts)).sum(axis=1)
    assert cosines.min() > 0.98
    assert cosines.max() < 0.9999
    assert int8.space.precision == ("int8" if has_exact_int8() else "int8-7bit")
    assert int8.space.fingerprint != encoder.space.fingerprint
    assert int8.space.differences(encoder.space) == f"precision: '{int8.space.precision}' / 'fp32'"


def test_an_int8_vector_does_not_depend_on_its_batch(int8: Encoder) -> None:
    texts = [f"{'word ' * (n % 9)}the number {n}" for n in range(200)]
    together = int8.encode(texts)
    alone = np.concatenate([int8.encode([text]) for text in texts[:20]])
    assert (alone * together[:20]).sum(axis=1).min() > 0.99999


@pytest.mark.slow
def test_seven_bits_work_on_any_processor(encoder: Encoder) -> None:
    seven = load_encoder(precision="int8-7bit")
    assert float((seven.encode(["my name"]) * encoder.encode(["my name"])).sum()) > 0.97


@pytest.mark.skipif(not has_exact_int8(), reason="int8 is int8-7bit on this processor")
@pytest.mark.parametrize("exact", [True, False])
def test_weights_of_eight_bits_get_instructions_that_do_not_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    int8 = load_encoder(precision="int8")
    assert isinstance(int8, OnnxEncoder)
    monkeypatch.setattr(runtime, "has_exact_int8", lambda: exact)
    options = runtime._session_options(1, "int8")
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    runtime._open(int8.folder / runtime.MODEL_FILE, options)
    graph = onnx.load(str(tmp_path / "run.onnx"), load_external_data=False).graph
    kinds = {each.name: each.data_type for each in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    # Unsigned by unsigned numbers are summed without overflow on every x86 processor.
    assert {kinds[node.input[1]] for node in products} == {onnx.TensorProto.INT8 if exact else onnx.TensorProto.UINT8}
    other = OnnxEncoder(int8.folder, int8.space, int8.padding_id, int8.head, 1)
    cosines = (int8.encode(["my name", "It rains."]) * other.encode(["my name", "It rains."])).sum(axis=1)
    assert cosines.min() > 0.99999


# --- agreement


def test_agreement_is_measured_on_different_texts(encoder: Encoder) -> None:
    same = measure(encoder, encoder, "mine", ["one", "two", "one"])
    assert (same.sample, same.texts, same.top10) == ("mine", 2, 1.0)
    assert same.mean == pytest.approx(1, abs=1e-6)
    assert same.accepted
    with pytest.raises(InvalidInput, match="the sample mine has 1 different texts"):
        measure(encoder, encoder, "mine", ["one", "one"])


def test_neighbours_are_compared_without_a_table_of_all_pairs() -> None:
    one = unit_rows(20_000, 8)
    tracemalloc.start()
    found = compare("mine", one, one)
    assert tracemalloc.get_traced_memory()[1] < 20_000 * 20_000
    tracemalloc.stop()
    assert (found.texts, found.top10) == (20_000, 1.0)


def test_the_share_of_equal_neighbours_covers_all_texts_if_they_are_few() -> None:
    one, other = unit_rows(60, 8), unit_rows(60, 8)

    def nearest(vectors: Any) -> Any:
        scores = vectors @ vectors.T - 9 * np.eye(len(vectors))
        return np.argsort(-scores, axis=1)[:, :10]

    expected = [len(np.intersect1d(a, b)) / 10 for a, b in zip(nearest(one), nearest(other), strict=True)]
    assert compare("mine", one, other).top10 == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    ("mean", "least", "accepted"),
    [(0.99, 0.95, True), (0.9899, 0.97, False), (0.995, 0.9499, False), (float("nan"), float("nan"), False)],
)
def test_both_bounds_must_be_reached(mean: float, least: float, accepted: bool) -> None:
    assert Agreement("s", 9, mean, least, 1.0).accepted is accepted


# --- the machine


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"avx2", "avx512f", "avx512_vnni"}, True),
        ({"avx2", "avx_vnni"}, True),
        ({"avx2", "avx512f"}, False),
        ({"asimd", "asimddp"}, True),
        ({"asimd"}, False),
        (set(), False),
    ],
)
def test_instructions_are_read_from_the_processors_flags(
    monkeypatch: pytest.MonkeyPatch, found: set[str], expected: bool
) -> None:
    monkeypatch.setattr(environment, "instructions", lambda: frozenset(found))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert environment.has_exact_int8() is expected


def test_apple_processors_have_exact_int8_without_listing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "instructions", frozenset)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert environment.has_exact_int8()
