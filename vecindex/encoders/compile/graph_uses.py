"""What of a model's graph is used, and by what?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import onnx


def names_used(graph: onnx.GraphProto) -> Iterator[str]:
    """Every name that a graph's nodes read and that it gives, once for each time."""
    for node in graph.node:
        yield from node_uses(node)
    yield from (each.name for each in graph.output)


def node_uses(node: onnx.NodeProto) -> Iterator[str]:
    """The names that a node reads, within its branches and loops too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from names_used(graph)


def set_constants(graph: onnx.GraphProto, constants: Iterable[onnx.TensorProto]) -> None:
    """Gives a graph those of the constants that it uses, instead of its own."""
    used = set(names_used(graph))
    kept = [each for each in constants if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def needed_nodes(nodes: Sequence[onnx.NodeProto], outputs: AbstractSet[str]) -> list[onnx.NodeProto]:
    """Those of the nodes, which are in the order of their work, of which ``outputs`` are made."""
    needed: list[onnx.NodeProto] = []
    names = set(outputs)
    for node in reversed(nodes):
        if not names.isdisjoint(node.output):
            needed.append(node)
            names.update(node_uses(node))
    return needed[::-1]
