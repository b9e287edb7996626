"""Folds the biases around a model's layer norms into weights that exist anyway, so that they cost no time.

Adding a bias reads and writes the whole result of a matrix product, a twentieth of the time where products are fast.
A layer norm computes h = g z + d with constants g and d and Σ z = 0, so Σ h/g = Σ d/g = s for every text.
With u = 1/(g s), u·h is always 1, and

    h W + b = h (W + u bᵀ)

Attention and feed-forward add something with a bias a to h before the next layer norm. That bias moves into d, and the
products of h are corrected in the same way:

    h' = h + a + c,   h W + b = h' (W + u' (b - (a + c) W)ᵀ)

The number c is free, since the next layer norm subtracts the mean. It is chosen to keep s far from 0, because a large u
would amplify rounding errors; a layer norm where that is impossible is left unchanged. All this is exact but for
rounding.

int8 encoders are made without folding: a different range of h is rounded differently, which would be another space.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from .graph_uses import names_used, set_constants

_Array = npt.NDArray[np.float64]

MOST_GROWTH = 8.0
"""The largest accepted growth of rounding errors: that of h' relative to h, times that of u·h', which is |u| |h'|."""
_DATA = "folded.data"


@dataclass(frozen=True, slots=True)
class _Bias:
    """A node that adds the constant vector ``value`` to the tensor named ``to``."""

    node: onnx.NodeProto
    to: str
    value: _Array


@dataclass(frozen=True, slots=True)
class _Product:
    """A product of a layer norm's output with a constant matrix, ``weight`` (in, out), and its bias."""

    node: onnx.NodeProto
    weight: _Array
    bias: _Bias | None


def fold_biases(source: Path, target: Path) -> int:
    """Writes the model in ``source`` with its biases folded to ``target``; returns how many were folded.

    Its constants go into a file beside ``target``. Nothing is written if no bias can be folded.
    """
    model = onnx.load(str(source))
    folded = _Folder(model.graph).run()
    if folded:
        onnx.save(model, str(target), save_as_external_data=True, location=_DATA)
    return folded


class _Folder:
    """One graph; recognises layer norms and products by their structure, never by their names."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {each.name: each for each in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._uses = Counter(names_used(graph))
        self._users: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._users[name].append(node)

    def run(self) -> int:
        norms = [node for node in self._graph.node if node.op_type == "LayerNormalization"]
        folded = sum(map(self._fold, norms))
        set_constants(self._graph, self._constants.values())
        return folded

    def _fold(self, norm: onnx.NodeProto) -> int:
        """Folds the biases around one layer norm; returns how many."""
        h = norm.output[0]
        if not _of_last_axis(norm) or len(norm.input) < 3 or len(norm.output) > 1:
            return 0
        scale, offset = self._constant(norm.input[1], 1), self._constant(norm.input[2], 1)
        users = [node for node in self._users[h] if node.op_type != "Shape"]
        products = [found for node in users if (found := self._product(node, h))]
        sums = [node for node in users if self._is_normed_sum(node, h)]
        all_known = len(users) == len(products) + len(sums) and len(self._users[h]) == self._uses[h]
        if scale is None or offset is None or not all_known or not products or len(sums) > 1:
            return 0
        if {scale.size, offset.size} != {len(each.weight) for each in products}:
            return 0
        biases = [each.bias for each in products if each.bias]
        added = self._added(sums, h, biases)
        plane = _plane(scale, offset, added.value if added else np.zeros_like(offset))
        if plane is None or not (biases or added):
            return 0
        shift, one = plane
        for each in products:
            value = each.bias.value if each.bias else 0
            self._replace(each.node, 1, each.weight + np.outer(one, value - shift @ each.weight))
        self._replace(norm, 2, offset + shift)
        folded = [*biases, *([added] if added else [])]
        for bias in folded:
            self._remove(bias)
        return len(folded)

    # --- recognising

    def _product(self, node: onnx.NodeProto, left: str) -> _Product | None:
        """The node as a product of ``left`` with a matrix that nothing else uses; None if it is not one."""
        if node.op_type != "MatMul" or node.input[0] != left or self._uses[node.input[1]] > 1:
            return None
        weight = self._constant(node.input[1], 2)
        users = self._users[node.output[0]]
        bias = self._bias_of(users[0].output[0]) if len(users) == 1 and users[0].op_type == "Add" else None
        return None if weight is None else _Product(node, weight, bias)

    def _is_normed_sum(self, node: onnx.NodeProto, part: str) -> bool:
        """Whether a node adds something to ``part`` and only a layer norm reads the sum, so that a constant is lost."""
        if node.op_type != "Add" or list(node.input).count(part) != 1 or self._uses[node.output[0]] != 1:
            return False
        (user,) = self._users[node.output[0]] or (node,)
        alone = user.input[0] == node.output[0] and len(user.output) == 1
        return user.op_type == "LayerNormalization" and _of_last_axis(user) and alone

    def _added(self, sums: Sequence[onnx.NodeProto], part: str, others: Sequence[_Bias]) -> _Bias | None:
        """The bias of what is added to ``part``, if nothing else reads it and it is not one of the ``others``."""
        taken = {bias.node.output[0] for bias in others}
        for name in (name for node in sums for name in node.input if name != part and name not in taken):
            bias = self._bias_of(name) if self._uses[name] == 1 else None
            if bias and bias.value.size > 1:
                return bias
        return None

    def _bias_of(self, name: str) -> _Bias | None:
        """The bias whose sum is ``name``, if the tensor that it is added to has no other use."""
        node = self._makers.get(name)
        if node is None or node.op_type != "Add":
            return None
        for value_name, to in (node.input, reversed(node.input)):
            value = self._constant(value_name, 1)
            if value is not None and self._uses[to] == 1 and to in self._makers:
                return _Bias(node, to, value)
        return None

    def _constant(self, name: str, rank: int) -> _Array | None:
        """The float32 constant of this name, widened, if it has ``rank`` axes."""
        tensor = self._constants.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != rank:
            return None
        return np.asarray(numpy_helper.to_array(tensor), dtype=np.float64)

    # --- rewriting

    def _replace(self, node: onnx.NodeProto, place: int, value: _Array) -> None:
        """Gives a node a new constant; other users of the old one keep it."""
        name = node.input[place] = f"folded/{node.output[0]}"
        self._constants[name] = numpy_helper.from_array(value.astype(np.float32), name)
        self._uses[name] = 1

    def _remove(self, bias: _Bias) -> None:
        """Removes a bias's sum; the tensor that it was added to takes its name."""
        maker = self._makers[bias.to]
        name = bias.node.output[0]
        maker.output[list(maker.output).index(bias.to)] = name
        self._makers[name] = maker
        self._graph.node.remove(bias.node)


def _plane(scale: _Array, offset: _Array, added: _Array) -> tuple[_Array, _Array] | None:
    """The shift (a + c) of a layer norm's output, and the vector u whose product with the shifted output is 1.

    None if rounding errors would grow too much whatever c is.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / scale
        usual = np.sqrt(np.median(scale**2 + offset**2))  # the usual size of a number in h
        shifts = [added - added.mean() + c for c in (usual, -usual)]
        sums = [float(((offset + shift) * inverse).sum()) for shift in shifts]
        shift, total = max(zip(shifts, sums, strict=True), key=lambda each: abs(each[1]))
        one = inverse / total
        before, after = (np.sqrt((scale**2 + mean**2).sum()) for mean in (offset, offset + shift))
        growth = np.linalg.norm(one) * after * (after / before)
    return (shift, one) if growth <= MOST_GROWTH else None


def _of_last_axis(norm: onnx.NodeProto) -> bool:
    return all(a.name != "axis" or helper.get_attribute_value(a) == -1 for a in norm.attribute)
