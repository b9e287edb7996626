"""Finds which names of an ONNX graph are used, within branches and loops too, and removes what is not.

`onnxruntime.transformers.onnx_model.OnnxModel` does similar bookkeeping, but its pruning keeps only some of the names
that branches and loops read from the graph around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import onnx


def names_used(graph: onnx.GraphProto) -> Iterator[str]:
    """Every name that a graph's nodes read or that it outputs, once for each use."""
    for node in graph.node:
        yield from node_uses(node)
    yield from (each.name for each in graph.output)


def node_uses(node: onnx.NodeProto) -> Iterator[str]:
    """The names that a node reads, also within its branches and loops."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from names_used(graph)


def set_constants(graph: onnx.GraphProto, constants: Iterable[onnx.TensorProto]) -> None:
    """Replaces a graph's constants by those of ``constants`` that it uses."""
    used = set(names_used(graph))
    kept = [each for each in constants if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def needed_nodes(nodes: Sequence[onnx.NodeProto], outputs: AbstractSet[str]) -> list[onnx.NodeProto]:
    """The nodes from which ``outputs`` are computed; ``nodes`` are in topological order."""
    needed: list[onnx.NodeProto] = []
    names = set(outputs)
    for node in reversed(nodes):
        if not names.isdisjoint(node.output):
            needed.append(node)
            names.update(node_uses(node))
    return needed[::-1]
