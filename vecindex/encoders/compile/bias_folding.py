"""How do the biases around a compiled model's layer norms disappear: into weights that are there anyway.

Adding a bias reads and writes all that a product has just made, which is a twentieth of the time where products are
fast. A layer norm gives h = g z + d with constants g and d and Σ z = 0, so that Σ h/g = Σ d/g = s, whatever the text.
With u = 1/(g s), u·h is always 1, and

    h W + b = h (W + u bᵀ)

A bias a of what is added to h before the next layer norm, as attention and feed-forward do, goes into d, and the
products of h are freed of it in the same way:

    h' = h + a + c,   h W + b = h' (W + u' (b - (a + c) W)ᵀ)

The number c is free, since the next layer norm takes the mean away. It keeps s far from 0, where u would be so large
that rounding errors grew with it; what cannot be kept from that is left as it is. All this is exact but for rounding.

int8 is made of the graph without it: another range of h is another rounding, and so another space.
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
"""Of rounding errors: of h' against h, and of u·h', which is |u| |h'|; 1 is the least that either can be."""
_DATA = "folded.data"


@dataclass(frozen=True, slots=True)
class _Bias:
    """A node that adds a constant vector, ``value``, to what is called ``to``."""

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
    """Writes the model in ``source`` without the biases that it can do without; gives how many those are.

    Its constants go into a file beside ``target``. Nothing is written where there are none such.
    """
    model = onnx.load(str(source))
    folded = _Folder(model.graph).run()
    if folded:
        onnx.save(model, str(target), save_as_external_data=True, location=_DATA)
    return folded


class _Folder:
    """One graph: finds layer norms and what is made of them by what they are, never by their names."""

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
        """Folds the biases of the products of a layer norm's output and of what is added to it; gives how many."""
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

    # --- what is there

    def _product(self, node: onnx.NodeProto, left: str) -> _Product | None:
        """A node as a product of ``left`` with a matrix that nothing else uses; None if it is none."""
        if node.op_type != "MatMul" or node.input[0] != left or self._uses[node.input[1]] > 1:
            return None
        weight = self._constant(node.input[1], 2)
        users = self._users[node.output[0]]
        bias = self._bias_of(users[0].output[0]) if len(users) == 1 and users[0].op_type == "Add" else None
        return None if weight is None else _Product(node, weight, bias)

    def _is_normed_sum(self, node: onnx.NodeProto, part: str) -> bool:
        """Whether a node adds something else to ``part`` for a layer norm alone, to which a constant is nothing."""
        if node.op_type != "Add" or list(node.input).count(part) != 1 or self._uses[node.output[0]] != 1:
            return False
        (user,) = self._users[node.output[0]] or (node,)
        alone = user.input[0] == node.output[0] and len(user.output) == 1
        return user.op_type == "LayerNormalization" and _of_last_axis(user) and alone

    def _added(self, sums: Sequence[onnx.NodeProto], part: str, others: Sequence[_Bias]) -> _Bias | None:
        """The bias of what is added to ``part``, if nothing else sees it and it is none of the ``others``."""
        taken = {bias.node.output[0] for bias in others}
        for name in (name for node in sums for name in node.input if name != part and name not in taken):
            bias = self._bias_of(name) if self._uses[name] == 1 else None
            if bias and bias.value.size > 1:
                return bias
        return None

    def _bias_of(self, name: str) -> _Bias | None:
        """What adds a constant vector to something that nothing else uses, and is called so; None if nothing does."""
        node = self._makers.get(name)
        if node is None or node.op_type != "Add":
            return None
        for value_name, to in (node.input, reversed(node.input)):
            value = self._constant(value_name, 1)
            if value is not None and self._uses[to] == 1 and to in self._makers:
                return _Bias(node, to, value)
        return None

    def _constant(self, name: str, rank: int) -> _Array | None:
        """The float32 constant of this name, exactly, if it has so many axes."""
        tensor = self._constants.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != rank:
            return None
        return np.asarray(numpy_helper.to_array(tensor), dtype=np.float64)

    # --- what becomes of it

    def _replace(self, node: onnx.NodeProto, place: int, value: _Array) -> None:
        """Gives a node another constant; what others use stays as it is."""
        name = node.input[place] = f"folded/{node.output[0]}"
        self._constants[name] = numpy_helper.from_array(value.astype(np.float32), name)
        self._uses[name] = 1

    def _remove(self, bias: _Bias) -> None:
        """Leaves out a sum: what it was added to takes its name."""
        maker = self._makers[bias.to]
        name = bias.node.output[0]
        maker.output[list(maker.output).index(bias.to)] = name
        self._makers[name] = maker
        self._graph.node.remove(bias.node)


def _plane(scale: _Array, offset: _Array, added: _Array) -> tuple[_Array, _Array] | None:
    """The shift (a + c) of a layer norm's output, and the vector u of which its product with that output is 1.

    None if every choice would let rounding errors grow.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / scale
        usual = np.sqrt(np.median(scale**2 + offset**2))  # of a number in h
        shifts = [added - added.mean() + c for c in (usual, -usual)]
        sums = [float(((offset + shift) * inverse).sum()) for shift in shifts]
        shift, total = max(zip(shifts, sums, strict=True), key=lambda each: abs(each[1]))
        one = inverse / total
        before, after = (np.sqrt((scale**2 + mean**2).sum()) for mean in (offset, offset + shift))
        growth = np.linalg.norm(one) * after * (after / before)
    return (shift, one) if growth <= MOST_GROWTH else None


def _of_last_axis(norm: onnx.NodeProto) -> bool:
    return all(a.name != "axis" or helper.get_attribute_value(a) == -1 for a in norm.attribute)
