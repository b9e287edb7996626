"""How does a compiled model compute in int8: its graph is rewritten, product by product.

A product of token vectors with constant weights, Y = X W, becomes

    q = round(X / s) + 128, s = max |X| / 127 of each row;  Y = s (q - 128) V diag(t),  W = V diag(t)

with whole numbers V of 8 bits (or 7) and a scale t for each column. Each row of X, a token, has a scale of its own, so
that a vector depends on no other token, text or batch; onnxruntime's own dynamic quantisation has one for the whole
batch, and the same text alone and in a batch then agrees to a cosine of 0.988 only. The sums are of whole numbers,
which are exact in any order and on any machine.

The table of word vectors is kept in 8 bits too, with a scale a row. All else stays float32. What is computed here is
part of the space: change it, and the new arithmetic needs a new name in `spec.Precision`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ..run.pooling import FloatArray
from .graph_uses import node_uses, set_constants

Bits = Literal[7, 8]

_CONTRIBUTED = "com.microsoft"
_LEAST_OPSET = 13
_TABLE_ROWS = 1024
"""Rows from which a table is worth its second look-up: of words, not of positions."""
_ACTIVATION_LARGEST = 127
_ZERO_POINT = 128
_LARGEST_OF_WEIGHTS: dict[Bits, int] = {7: 63, 8: 127}
_TINY = 1e-30  # a row of zeros has a scale too


@dataclass(frozen=True, slots=True)
class Quantised:
    """How much of a graph is int8 now: ``products`` with constant weights, ``tables`` that are looked up in."""

    products: int
    tables: int


def quantise(source: Path, target: Path, bits: Bits) -> Quantised:
    """Writes the model in ``source`` with its constant weights in so many bits to ``target``, in one file."""
    model = onnx.load(str(source))
    rewriter = _Rewriter(model.graph, _opset(model), bits)
    done = rewriter.run()
    if all(entry.domain != _CONTRIBUTED for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_CONTRIBUTED, 1))
    onnx.save(model, str(target))
    return done


def _opset(model: onnx.ModelProto) -> int:
    opset = next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < _LEAST_OPSET:
        raise ValueError(f"its graph is of opset {opset}; the least that can be rewritten is {_LEAST_OPSET}")
    return opset


class _Rewriter:
    """One graph: finds products and tables by what they are, never by their names."""

    def __init__(self, graph: onnx.GraphProto, opset: int, bits: Bits) -> None:
        self._graph = graph
        self._opset = opset
        self._largest = _LARGEST_OF_WEIGHTS[bits]
        self._initializers = {each.name: each for each in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._nodes: list[onnx.NodeProto] = []
        self._new: dict[str, onnx.TensorProto] = {}
        self._inputs: dict[str, tuple[str, str]] = {}
        self._weights: dict[tuple[str, bool, float], tuple[str, str]] = {}
        self._count = 0

    def run(self) -> Quantised:
        products = tables = 0
        for node in list(self._graph.node):
            if self._product(node):
                products += 1
            elif self._table(node):
                tables += 1
            else:
                self._nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(self._needed(self._nodes))
        set_constants(self._graph, [*self._graph.initializer, *self._new.values()])
        return Quantised(products, tables)

    # --- products

    def _product(self, node: onnx.NodeProto) -> bool:
        """Replaces a MatMul or Gemm whose right side is a constant matrix; False if it is none."""
        if node.op_type not in ("MatMul", "Gemm") or node.domain not in ("", "ai.onnx"):
            return False
        settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if settings.get("transA", 0):
            return False
        weight = self._matrix(node.input[1])
        if weight is None or min(weight.shape) < 2 or not np.isfinite(weight).all():
            return False
        transposed, alpha = bool(settings.get("transB", 0)), float(settings.get("alpha", 1.0))
        key = (node.input[1], transposed, alpha)
        if key not in self._weights:
            self._weights[key] = self._quantised_weight(alpha * (weight.T if transposed else weight))
        values, scales = self._weights[key]
        rows, row_scales = self._quantised_input(node.input[0], weight.shape[1 if transposed else 0])
        one, zero_point = self._constant(np.float32(1)), self._constant(np.uint8(_ZERO_POINT))
        product = self._add("MatMulIntegerToFloat", rows, values, one, scales, zero_point, domain=_CONTRIBUTED)
        bias = node.input[2] if len(node.input) > 2 else ""
        if not bias:
            self._add("Mul", product, row_scales, output=node.output[0])
            return True
        if (beta := float(settings.get("beta", 1.0))) != 1:
            bias = self._add("Mul", bias, self._constant(np.float32(beta)))
        self._add("Add", self._add("Mul", product, row_scales), bias, output=node.output[0])
        return True

    def _quantised_weight(self, weight: FloatArray) -> tuple[str, str]:
        """The names of its whole numbers (in, out) and of the scales of its columns (out,)."""
        scales = np.abs(weight).max(axis=0) / self._largest
        scales[scales == 0] = 1
        values = np.rint(weight / scales).astype(np.int8)
        return self._constant(values), self._constant(scales.astype(np.float32))

    def _quantised_input(self, name: str, width: int) -> tuple[str, str]:
        """The names of: what ``name`` (..., width) is in 8 bits, and the scales of its rows (..., 1).

        Products with the same input share them.
        """
        if name not in self._inputs:
            largest = self._reduce_max(self._add("Abs", name))
            limited = self._add("Max", largest, self._constant(np.float32(_TINY)))
            scales = self._add("Mul", limited, self._constant(np.float32(1 / _ACTIVATION_LARGEST)))
            # QuantizeLinear takes a scale a row of a matrix, as a vector.
            vector = self._add("Reshape", scales, self._whole([-1]))
            zero = numpy_helper.from_array(np.array([_ZERO_POINT], dtype=np.uint8))
            zeros = self._add("ConstantOfShape", self._add("Shape", vector), value=zero)
            flat = self._add("Reshape", name, self._whole([-1, width]))
            values = self._add("QuantizeLinear", flat, vector, zeros, axis=0)
            # As it was before: the product then has the shape of the one that it replaces, and fusions see its width.
            self._inputs[name] = (self._add("Reshape", values, self._add("Shape", name)), scales)
        return self._inputs[name]

    def _reduce_max(self, name: str) -> str:
        if self._opset >= 18:
            return self._add("ReduceMax", name, self._whole([-1]), keepdims=1)
        return self._add("ReduceMax", name, axes=[-1], keepdims=1)

    # --- tables

    def _table(self, node: onnx.NodeProto) -> bool:
        """Replaces a look-up of rows of a large constant matrix; False if it is none."""
        if node.op_type != "Gather" or any(a.name == "axis" and a.i != 0 for a in node.attribute):
            return False
        table = self._matrix(node.input[0])
        if table is None or len(table) < _TABLE_ROWS or not np.isfinite(table).all():
            return False
        scales = np.abs(table).max(axis=1, keepdims=True) / _ACTIVATION_LARGEST
        scales[scales == 0] = 1
        values = np.rint(table / scales).astype(np.int8)
        found = self._add("Gather", self._constant(values), node.input[1], axis=0)
        scale = self._add("Gather", self._constant(scales.astype(np.float32)), node.input[1], axis=0)
        self._add("Mul", self._add("Cast", found, to=onnx.TensorProto.FLOAT), scale, output=node.output[0])
        return True

    # --- constants and nodes

    def _matrix(self, name: str) -> FloatArray | None:
        """The constant float32 matrix of this name; None if it is none."""
        node = self._makers.get(name)
        if name in self._initializers:
            tensor = self._initializers[name]
        elif node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
        elif node is not None and node.op_type == "Identity":
            return self._matrix(node.input[0])
        elif node is not None and node.op_type == "Transpose":
            matrix = self._matrix(node.input[0])
            return None if matrix is None else matrix.T
        else:
            return None
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2 or 0 in tensor.dims:
            return None
        return np.asarray(numpy_helper.to_array(tensor))

    def _whole(self, numbers: list[int]) -> str:
        return self._constant(np.array(numbers, dtype=np.int64))

    def _constant(self, value: npt.NDArray[np.generic] | np.generic) -> str:
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        small = f"{array.dtype}_{array.shape}_{array.tolist()}" if array.size < 4 else f"{len(self._new)}"
        name = f"int8/constant_{small}".replace(" ", "")
        if name not in self._new:
            self._new[name] = numpy_helper.from_array(array, name)
        return name

    def _add(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **settings: Any) -> str:
        if output is None:
            self._count += 1
            output = f"int8/{kind}_{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], domain=domain, **settings))
        return output

    def _needed(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """The nodes without constants and views of them that nobody uses any more, which hold the old weights."""
        while True:
            used = {n for node in nodes for n in node_uses(node)} | {each.name for each in self._graph.output}
            kept = [
                node
                for node in nodes
                if node.op_type not in ("Constant", "Identity", "Transpose") or used.intersection(node.output)
            ]
            if len(kept) == len(nodes):
                return nodes
            nodes = kept
