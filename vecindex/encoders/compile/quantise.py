"""Rewrites a model's graph to compute in int8, one matrix product after the other.

A product of token vectors with constant weights, Y = X W, becomes

    q = round(X / s) + 128, s = max |X| / 127 of each row;  Y = s (q - 128) V diag(t),  W = V diag(t)

with integers V of 8 (or 7) bits and a scale t for each column. Each row of X, a token, has its own scale, so that a
vector does not depend on other tokens, texts or batches; onnxruntime's own dynamic quantisation has one scale for the
whole batch, and the same text alone and in a batch then agrees only to a cosine of 0.988. Integer sums are exact in any
order and on any machine.

The table of word vectors has 8 bits too, with a scale for each row. Everything else stays float32. This arithmetic is
part of the space: if it changes, it needs a new name in `space.Precision`.
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
from .graph_uses import needed_nodes, set_constants

Bits = Literal[7, 8]

_CONTRIBUTED = "com.microsoft"
_LEAST_OPSET = 13
_TABLE_ROWS = 1024
"""The fewest rows that make a table worth a second lookup: tables of words, not of positions."""
_ACTIVATION_LARGEST = 127
_ZERO_POINT = 128
_LARGEST_OF_WEIGHTS: dict[Bits, int] = {7: 63, 8: 127}
_TINY = 1e-30  # so that a row of zeros has a scale


@dataclass(frozen=True, slots=True)
class Quantised:
    """How many ``products`` with constant weights and lookup ``tables`` of a graph are int8 now."""

    products: int
    tables: int


def quantise(source: Path, target: Path, bits: Bits) -> Quantised:
    """Writes the model in ``source`` with its constant weights in ``bits`` bits to ``target``, in one file."""
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
        raise ValueError(f"its graph has opset {opset}; at least {_LEAST_OPSET} is needed")
    return opset


class _Rewriter:
    """One graph; recognises products and tables by their structure, never by their names."""

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
        self._graph.node.extend(needed_nodes(self._nodes, {each.name for each in self._graph.output}))
        set_constants(self._graph, [*self._graph.initializer, *self._new.values()])
        return Quantised(products, tables)

    # --- products

    def _product(self, node: onnx.NodeProto) -> bool:
        """Replaces a MatMul or Gemm whose right side is a constant matrix; False if the node is not one."""
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
        """The names of its integers (in, out) and of its columns' scales (out,)."""
        scales = np.abs(weight).max(axis=0) / self._largest
        scales[scales == 0] = 1
        values = np.rint(weight / scales).astype(np.int8)
        return self._constant(values), self._constant(scales.astype(np.float32))

    def _quantised_input(self, name: str, width: int) -> tuple[str, str]:
        """The names of ``name`` (..., width) in 8 bits and of its rows' scales (..., 1).

        Products with the same input share them.
        """
        if name not in self._inputs:
            largest = self._reduce_max(self._add("Abs", name))
            limited = self._add("Max", largest, self._constant(np.float32(_TINY)))
            scales = self._add("Mul", limited, self._constant(np.float32(1 / _ACTIVATION_LARGEST)))
            # QuantizeLinear takes a scale a row of a matrix, as a vector.
            vector = self._add("Reshape", scales, self._integers([-1]))
            zero = numpy_helper.from_array(np.array([_ZERO_POINT], dtype=np.uint8))
            zeros = self._add("ConstantOfShape", self._add("Shape", vector), value=zero)
            flat = self._add("Reshape", name, self._integers([-1, width]))
            values = self._add("QuantizeLinear", flat, vector, zeros, axis=0)
            # In the input's shape again: the product then has the shape of the one it replaces, which fusions need.
            self._inputs[name] = (self._add("Reshape", values, self._add("Shape", name)), scales)
        return self._inputs[name]

    def _reduce_max(self, name: str) -> str:
        if self._opset >= 18:
            return self._add("ReduceMax", name, self._integers([-1]), keepdims=1)
        return self._add("ReduceMax", name, axes=[-1], keepdims=1)

    # --- tables

    def _table(self, node: onnx.NodeProto) -> bool:
        """Replaces a lookup of rows in a large constant matrix; False if the node is not one."""
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
        """The constant float32 matrix of this name; None if it is not one."""
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

    def _integers(self, numbers: list[int]) -> str:
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
