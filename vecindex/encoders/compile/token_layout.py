"""Changes the order of tokens in a model's graph, so that attention copies less.

An exported model orders a batch of B texts of T tokens as (B, T, D), text by text. Attention then transposes queries,
keys and values to (B, H, T, D/H), a matrix for each of H heads, and its result back again: four copies of the batch in
each layer. In the order (T, B, D), with the first tokens of all texts first, onnxruntime's products read three of the
four without a copy.

Everywhere else tokens are the rows of one matrix (T B, D). A tensor added to a product of that matrix becomes part of
the product, as one Gemm, instead of another pass over the result.

Numbers only change places: the sums are the same, but for rounding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .graph_uses import names_used, needed_nodes, node_uses, set_constants

_BY_HEAD = [0, 2, 1, 3]  # (B, T, H, D/H) to (B, H, T, D/H), and back
_COLUMNS_BY_HEAD = [0, 2, 3, 1]  # to (B, H, D/H, T)
_FOR_EACH_NUMBER = {"Add", "Div", "Erf", "Gelu", "Mul", "Pow", "Relu", "Sigmoid", "Sub", "Tanh"}
_MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True)
class _Scores:
    """``scale`` times the product of queries and keys for each head, and the tensors added to it."""

    query: str
    key: str
    size: int
    scale: float = 1.0
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Attention:
    """Attention over queries, keys and values of the shape (B, T, H ``size``), which its result has too."""

    scores: _Scores
    value: str


def lay_out(source: Path, target: Path) -> int:
    """Writes the model in ``source`` with its tokens in order of position; returns how many attentions that speeds up.

    Its constants stay in their file, so ``target`` must be in the same folder. Nothing is written if none is sped up.
    """
    model = onnx.load(str(source), load_external_data=False)
    attentions = _Layout(model.graph).run()
    if attentions:
        if _MICROSOFT not in {each.domain for each in model.opset_import}:
            model.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
        onnx.save(model, str(target))
    return attentions


class _Layout:
    """One graph with one output (B, T, D): finds the steps that treat each token alone, and the attentions between.

    ``_width`` maps each tensor known to be (B, T, width) to its width. ``_firsts`` are the first of these, the outputs
    of layer norms: they are assumed to be tokens if everything that follows agrees with that.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {each.name: each for each in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._uses = Counter(names_used(graph))
        self._width: dict[str, int] = {}
        self._firsts: set[str] = set()
        self._attentions: dict[str, _Attention] = {}
        self._written: list[onnx.NodeProto] = []
        self._shapes: set[str] = set()

    def run(self) -> int:
        for node in self._graph.node:
            if width := self._width_of(node):
                self._width[node.output[0]] = width
        (output,) = self._graph.output
        moved = self._needed(output.name) if output.name in self._width else set()
        attentions = len(moved & self._attentions.keys())
        if not attentions or not self._write(moved, output.name):
            return 0
        return attentions

    # --- recognising

    def _width_of(self, node: onnx.NodeProto) -> int | None:
        """How many numbers a node outputs for each token; None if it does not treat each token alone."""
        first = self._width.get(node.input[0]) if node.input else None
        if node.op_type == "LayerNormalization" and len(node.output) == 1 and _attribute(node, "axis", -1) == -1:
            if first is None:
                self._firsts.add(node.output[0])
            return first or self._size(node.input[1])
        if node.op_type == "MatMul" and first:
            weight = self._constants.get(node.input[1])
            return weight.dims[1] if weight and len(weight.dims) == 2 else None
        if node.op_type in _FOR_EACH_NUMBER:
            widths = {self._width[name] for name in node.input if name in self._width}
            rest = [self._constants.get(name) for name in node.input if name not in self._width]
            return widths.pop() if len(widths) == 1 and all(c and len(c.dims) < 2 for c in rest) else None
        attention = self._attention(node)
        if attention is None:
            return None
        self._attentions[node.output[0]] = attention
        return self._width[attention.value]

    def _attention(self, node: onnx.NodeProto) -> _Attention | None:
        """The attention whose last node this is: softmax(scale Q K' + ...) V, with the heads side by side again."""
        back = self._made(node.input[0], "Transpose") if node.op_type == "Reshape" else None
        product = self._made(back.input[0], "MatMul") if back and _attribute(back, "perm") == _BY_HEAD else None
        weights = self._made(product.input[0], "Softmax") if product else None
        if product is None or weights is None or _attribute(weights, "axis", -1) not in (-1, 3):
            return None
        scores, value = self._scores(weights.input[0]), self._by_head(product.input[1], _BY_HEAD)
        if scores is None or value is None:
            return None
        widths = {self._width.get(name) for name in (scores.query, scores.key, value[0])}
        return _Attention(scores, value[0]) if len(widths) == 1 and None not in widths else None

    def _scores(self, name: str) -> _Scores | None:
        node = self._makers.get(name)
        if node is None:
            return None
        if node.op_type == "MatMul":
            query, key = self._by_head(node.input[0], _BY_HEAD), self._by_head(node.input[1], _COLUMNS_BY_HEAD)
            return _Scores(query[0], key[0], query[1]) if query and key else None
        if node.op_type == "Add":
            left, right = node.input
            for inner, added in dict.fromkeys([(left, right), (right, left)]):
                if found := self._scores(inner):
                    return _Scores(found.query, found.key, found.size, found.scale, (*found.added, added))
        if node.op_type in ("Div", "Mul") and (factor := self._number(node.input[1])):
            found = self._scores(node.input[0])
            if found and not found.added:
                scale = found.scale * (factor if node.op_type == "Mul" else 1 / factor)
                return _Scores(found.query, found.key, found.size, scale)
        return None

    def _by_head(self, name: str, order: Sequence[int]) -> tuple[str, int] | None:
        """The tensor (B, T, H D) that becomes ``name`` when it is split into heads of D and transposed, and D."""
        moved = self._made(name, "Transpose")
        split = self._made(moved.input[0], "Reshape") if moved and _attribute(moved, "perm") == list(order) else None
        shape = self._made(split.input[1], "Concat") if split else None
        if split is None or shape is None or len(shape.input) != 4:
            return None
        size = self._number(shape.input[3])
        by_text = self._is_size(shape.input[0], 0) and self._is_size(shape.input[1], 1)
        return (split.input[0], int(size)) if size and size > 0 and by_text else None

    def _is_size(self, name: str, axis: int) -> bool:
        """Whether this is the size of something along an axis."""
        node = self._makers.get(name)
        while node is not None and node.op_type == "Unsqueeze":
            node = self._makers.get(node.input[0])
        gathered = node is not None and node.op_type == "Gather" and self._number(node.input[1]) == axis
        return gathered and node is not None and self._made(node.input[0], "Shape") is not None

    def _made(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The node that outputs this name, if it is of this kind."""
        node = self._makers.get(name)
        return node if node is not None and node.op_type == kind else None

    def _number(self, name: str) -> float | None:
        """The constant of this name, if it is a single number."""
        tensor = self._constants.get(name)
        return float(numpy_helper.to_array(tensor).item()) if tensor and math.prod(tensor.dims) == 1 else None

    def _size(self, name: str) -> int | None:
        tensor = self._constants.get(name)
        return tensor.dims[0] if tensor and len(tensor.dims) == 1 else None

    def _needed(self, name: str) -> set[str]:
        """``name`` and all token tensors that it is computed from, back to the first."""
        found: set[str] = set()
        ahead = [name]
        while ahead:
            name = ahead.pop()
            if name in found or name in self._constants:
                continue
            found.add(name)
            if name in self._attentions:
                attention = self._attentions[name]
                ahead += [attention.scores.query, attention.scores.key, attention.value]
            elif name not in self._firsts:
                ahead += self._makers[name].input
        return found

    # --- rewriting

    def _write(self, moved: set[str], output: str) -> bool:
        """Rewrites the graph and returns True, unless something else reads a tensor that would change its shape.

        The tensors in ``moved`` get new names, `_rows`.
        """
        (ids, *_) = self._graph.input
        shape = self._node("Shape", [ids.name], "layout/shape")
        batch = self._node("Gather", [shape, self._constant("layout/swapped", [1, 0])], "layout/batch")  # (T, B)
        for node in self._graph.node:
            name = node.output[0]
            if name not in moved:
                self._written.append(node)
            elif name in self._firsts:
                self._written.append(node)
                by_position = self._node("Transpose", [name], f"{name}/moved", perm=[1, 0, 2])
                self._matrix(by_position, self._width[name], _rows(name))
            elif name in self._attentions:
                self._write_attention(name, self._attentions[name], batch)
            else:
                self._write_rows(node, moved)
        whole = self._shaped(batch, [self._width[output]])
        by_position = self._node("Reshape", [_rows(output), whole], f"{output}/by_position")
        self._node("Transpose", [by_position], output, perm=[1, 0, 2])
        nodes = needed_nodes(self._written, {output})
        if not (moved - self._firsts).isdisjoint(name for node in nodes for name in node_uses(node)):
            return False
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        set_constants(self._graph, self._constants.values())
        return True

    def _write_rows(self, node: onnx.NodeProto, moved: set[str]) -> None:
        name = node.output[0]
        parts = [part for part in node.input if part in moved]
        products = [part for part in parts if self._is_product(part)] if node.op_type == "Add" else []
        if len(parts) == 2 and products:
            product = self._makers[products[0]]
            rest = parts[1 - parts.index(products[0])]
            self._node("Gemm", [_rows(product.input[0]), product.input[1], _rows(rest)], _rows(name))
            return
        written = onnx.NodeProto()
        written.CopyFrom(node)
        written.output[0] = _rows(name)
        written.input[:] = [_rows(part) if part in moved else part for part in node.input]
        self._written.append(written)

    def _is_product(self, name: str) -> bool:
        """Whether this is a product that only one node reads."""
        return self._makers[name].op_type == "MatMul" and self._uses[name] == 1

    def _write_attention(self, name: str, attention: _Attention, batch: str) -> None:
        width, size = self._width[attention.value], attention.scores.size
        split = self._shaped(batch, [width // size, size])
        parts = {"query": attention.scores.query, "key": attention.scores.key, "value": attention.value}
        query, key, value = (
            self._node("Reshape", [_rows(each), split], f"{name}/{part}") for part, each in parts.items()
        )
        settings = {"transB": 1, "transBatchA": 1, "transBatchB": 1, "alpha": attention.scores.scale}
        scores = self._node("FusedMatMul", [query, key], f"{name}/scores", _MICROSOFT, **settings)
        for place, added in enumerate(attention.scores.added):
            scores = self._node("Add", [scores, added], f"{name}/scores{place}")
        weights = self._node("Softmax", [scores], f"{name}/weights", axis=-1)
        found = self._node("FusedMatMul", [weights, value], f"{name}/found", _MICROSOFT, transBatchB=1)
        self._matrix(self._node("Transpose", [found], f"{name}/moved", perm=[2, 0, 1, 3]), width, _rows(name))

    def _matrix(self, name: str, width: int, output: str) -> None:
        """Reshapes tokens to the rows of one matrix."""
        self._node("Reshape", [name, self._constant(f"layout/rows{width}", [-1, width])], output)

    def _shaped(self, batch: str, rest: list[int]) -> str:
        """The shape (T, B, ...)."""
        name = "layout/" + "x".join(map(str, rest))
        if name not in self._shapes:
            self._shapes.add(name)
            self._node("Concat", [batch, self._constant(f"{name}/rest", rest)], name, axis=0)
        return name

    def _node(self, kind: str, inputs: Sequence[str], output: str, domain: str = "", **settings: Any) -> str:
        self._written.append(helper.make_node(kind, inputs, [output], output, domain=domain, **settings))
        return output

    def _constant(self, name: str, value: list[int]) -> str:
        self._constants[name] = numpy_helper.from_array(np.array(value, dtype=np.int64), name)
        return name


def _rows(name: str) -> str:
    """The new name of (B, T, width) as the rows of a matrix (T B, width)."""
    return f"{name}/rows"


def _attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
