"""Makes small graphs for the tests of graph rewriting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

WIDTH = 8
RANDOM = np.random.default_rng(0)
FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def vector(size: int = WIDTH, about: float = 0.0) -> Any:
    return (about + 0.3 * RANDOM.standard_normal(size)).astype(np.float32)


def matrix(inner: int, outer: int) -> Any:
    return RANDOM.standard_normal((inner, outer)).astype(np.float32)


class Graph:
    """Builds a model node by node; its only input is x (tokens, `WIDTH`) by default."""

    inputs: ClassVar[Mapping[str, tuple[int, list[Any]]]] = {"x": (FLOAT, ["tokens", WIDTH])}

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, value: Any) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = value
        return name

    def node(self, kind: str, *inputs: str, **settings: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **settings))
        return name

    def norm(self, x: str, scale: Any = None, offset: Any = None, axis: int = -1) -> str:
        scale = vector(about=1) if scale is None else scale
        offset = vector() if offset is None else offset
        names = [value if isinstance(value, str) else self.constant(value) for value in (scale, offset)]
        return self.node("LayerNormalization", x, *names, axis=axis)

    def dense(self, x: str, inner: int = WIDTH, outer: int = WIDTH, weight: str = "", first: bool = False) -> str:
        """A product with a bias, which is the first or the second input of the sum."""
        product = self.node("MatMul", x, weight or self.constant(matrix(inner, outer)))
        bias = self.constant(vector(outer))
        return self.node("Add", bias, product) if first else self.node("Add", product, bias)

    def feed_forward(self, h: str) -> str:
        return self.dense(self.node("Tanh", self.dense(h, WIDTH, 3 * WIDTH, first=True)), 3 * WIDTH)

    def save(self, path: Path, *outputs: str) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info(name, *kind) for name, kind in self.inputs.items()],
            [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
        return path


class Counted:
    """The kinds of a model's nodes, counted."""

    def __init__(self, model: Any) -> None:
        kinds = [node.op_type for node in model.graph.node]
        self.kinds = {kind: kinds.count(kind) for kind in kinds}
        self.constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def run(path: Path, **inputs: Any) -> list[Any]:
    return list(onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs))
