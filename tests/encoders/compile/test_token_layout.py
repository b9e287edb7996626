"""Tokens by position instead of by text: the same vectors with fewer copies, and what cannot be so is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

from vecindex.encoders.compile.token_layout import lay_out
from vecindex.encoders.locate.vecindex_cache import compiled_folder
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.onnx import MODEL_FILE

from ...support.models.graphs import FLOAT, INT, RANDOM, WIDTH, Counted, Graph, matrix, run

HEADS, SIZE = 2, WIDTH // 2
WORDS = 20
BY_HEAD, COLUMNS_BY_HEAD = (0, 2, 1, 3), (0, 2, 3, 1)


class Transformer(Graph):
    """Layers over ids (B, T) with a mask (B, 1, 1, T) that is added to the scores; a test changes one step of them."""

    inputs: ClassVar = {"ids": (INT, ["texts", "tokens"]), "mask": (FLOAT, ["texts", 1, 1, "tokens"])}

    def words(self) -> str:
        return self.norm(self.node("Gather", self.constant(matrix(WORDS, WIDTH)), "ids"))

    def texts_and_tokens(self) -> list[str]:
        shape = self.node("Shape", "ids")
        return [self.node("Gather", shape, self.constant(np.array([n]))) for n in (0, 1)]

    def sizes(self, *rest: int) -> str:
        """The shape (B, T, ...)."""
        parts = [self.constant(np.array([n])) for n in rest]
        return self.node("Concat", *self.texts_and_tokens(), *parts, axis=0)

    def by_head(self, x: str, order: Any = BY_HEAD, size: int = SIZE) -> str:
        return self.node("Transpose", self.node("Reshape", x, self.sizes(-1, size)), perm=order)

    def scores(self, product: str) -> str:
        return self.node("Add", self.node("Mul", product, self.constant(np.float32(0.5))), "mask")

    def weights(self, scores: str) -> str:
        return self.node("Softmax", scores, axis=-1)

    def product(self, query: str, key: str) -> str:
        return self.node("MatMul", self.by_head(query), self.by_head(key, COLUMNS_BY_HEAD))

    def values(self, h: str) -> str:
        return self.by_head(self.dense(h))

    def side_by_side(self, found: str) -> str:
        return self.node("Reshape", self.node("Transpose", found, perm=BY_HEAD), self.sizes(WIDTH))

    def attention(self, h: str) -> str:
        weights = self.weights(self.scores(self.product(self.dense(h), self.dense(h))))
        return self.side_by_side(self.node("MatMul", weights, self.values(h)))

    def added(self, part: str, h: str) -> str:
        return self.node("Add", part, h)

    def plain(self, x: str, inner: int = WIDTH) -> str:
        return self.node("MatMul", x, self.constant(matrix(inner, WIDTH)))

    def layer(self, h: str) -> str:
        h = self.norm(self.added(self.plain(self.attention(h)), h))
        return self.norm(self.node("Add", h, self.plain(self.node("Tanh", self.dense(h)))))

    def run(self, layers: int = 2) -> str:
        h = self.words()
        for _ in range(layers):
            h = self.layer(h)
        return h


def laid_out(graph: Transformer, folder: Path, output: str) -> tuple[int, Counted]:
    """In how many attentions copies are saved, and what the graph is then, which must give what it gave before."""
    source, target = graph.save(folder / "plain.onnx", output), folder / "laid_out.onnx"
    count = lay_out(source, target)
    assert target.exists() == (count > 0)
    result = target if count else source
    for texts, tokens in ((1, 1), (1, 7), (6, 1), (3, 5)):
        ids = RANDOM.integers(0, WORDS, (texts, tokens))
        mask = np.where(RANDOM.random((texts, 1, 1, tokens)) < 0.3, np.float32(-1e9), np.float32(0))
        mask[..., 0] = 0
        ((before,), (after,)) = (run(path, ids=ids, mask=mask) for path in (source, result))
        np.testing.assert_allclose(after, before, rtol=0, atol=2e-6)
    return count, Counted(onnx.load(str(result)))


def test_each_layer_copies_once_and_sums_become_part_of_products(tmp_path: Path) -> None:
    graph = Transformer()
    count, after = laid_out(graph, tmp_path, graph.run())
    assert count == 2
    assert after.kinds["Transpose"] == 2 + 2  # one a layer, and at the first and the last step
    assert (after.kinds["FusedMatMul"], after.kinds["Gemm"]) == (4, 4)
    assert after.kinds["Add"] == 2 * (4 + 1)  # of each layer four biases, and the mask


class ScaledByDivision(Transformer):
    def scores(self, product: str) -> str:
        return self.node("Add", "mask", self.node("Div", product, self.constant(np.array([2], dtype=np.float32))))


class NotScaled(Transformer):
    def scores(self, product: str) -> str:
        return self.node("Add", product, "mask")


class WithABiasOfHeads(Transformer):
    def scores(self, product: str) -> str:
        scaled = self.node("Mul", product, self.constant(np.float32(0.5)))
        return self.node("Add", self.node("Add", self.constant(matrix(HEADS, 1)[:, :, None]), scaled), "mask")


class Unmasked(Transformer):
    def scores(self, product: str) -> str:
        return product


class NormedBefore(Transformer):
    """The stream of sums is not normed, but for its last."""

    def layer(self, h: str) -> str:
        h = self.added(self.plain(self.attention(self.norm(h))), h)
        return self.node("Add", h, self.plain(self.node("Tanh", self.dense(self.norm(h)))))

    def run(self, layers: int = 2) -> str:
        return self.norm(super().run(layers))


class Gated(Transformer):
    def layer(self, h: str) -> str:
        h = self.norm(self.added(self.plain(self.attention(h)), h))
        gated = self.node("Mul", self.node("Sigmoid", self.dense(h)), self.plain(h))
        return self.norm(self.node("Add", self.plain(gated), h))


@pytest.mark.parametrize("kind", [ScaledByDivision, NotScaled, WithABiasOfHeads, Unmasked, NormedBefore, Gated])
def test_other_transformers_are_rewritten_too(kind: type[Transformer], tmp_path: Path) -> None:
    graph = kind()
    count, after = laid_out(graph, tmp_path, graph.run())
    assert (count, after.kinds["FusedMatMul"], after.kinds["Gemm"]) == (2, 4, 4)


class ScaledWithItsMask(Transformer):
    def scores(self, product: str) -> str:
        return self.node("Mul", self.node("Add", product, "mask"), self.constant(np.float32(0.5)))


class HeadsAreTexts(Transformer):
    """Attention between the heads of a token."""

    def by_head(self, x: str, order: Any = BY_HEAD, size: int = SIZE) -> str:
        return super().by_head(x, {BY_HEAD: (0, 1, 2, 3), COLUMNS_BY_HEAD: (0, 1, 3, 2)}[order], size)

    def scores(self, product: str) -> str:
        return product

    def side_by_side(self, found: str) -> str:
        return super().side_by_side(self.node("Transpose", found, perm=BY_HEAD))


class HeadsOfTexts(HeadsAreTexts):
    """As before, but with heads and tokens mixed at the end, as if they had been moved."""

    def side_by_side(self, found: str) -> str:
        return Transformer.side_by_side(self, found)


class PartedOtherwise(Transformer):
    """What is parted into heads is parted into other texts too: (T, B, H, D/H) of the same numbers."""

    def texts_and_tokens(self) -> list[str]:
        return super().texts_and_tokens()[::-1]

    def scores(self, product: str) -> str:
        return product

    def side_by_side(self, found: str) -> str:
        sizes = self.node("Concat", *Transformer.texts_and_tokens(self), self.constant(np.array([WIDTH])), axis=0)
        return self.node("Reshape", self.node("Transpose", found, perm=BY_HEAD), sizes)


class HeadsAreMixed(Transformer):
    def side_by_side(self, found: str) -> str:
        return self.node("Reshape", self.node("Transpose", found, perm=(0, 2, 3, 1)), self.sizes(WIDTH))


class ValuesAreWider(Transformer):
    def values(self, h: str) -> str:
        return self.by_head(self.dense(h, WIDTH, 2 * WIDTH), size=2 * SIZE)

    def side_by_side(self, found: str) -> str:
        wide = self.node("Reshape", self.node("Transpose", found, perm=BY_HEAD), self.sizes(2 * WIDTH))
        return self.plain(wide, 2 * WIDTH)


class NormedOverTokens(Transformer):
    """All numbers of a text together."""

    def layer(self, h: str) -> str:
        return super().layer(self.norm(h, axis=1))


class ScoresFromMeans(Transformer):
    """What a norm takes away is used elsewhere."""

    def layer(self, h: str) -> str:
        h = self.norm(h)
        self.mean = f"{h}/mean"
        self.nodes[-1].output.append(self.mean)
        return super().layer(h)

    def scores(self, product: str) -> str:
        return self.node("Add", product, self.node("Unsqueeze", self.mean, self.constant(np.array([1]))))


class AStackOfMatrices(Transformer):
    def plain(self, x: str, inner: int = WIDTH) -> str:
        return self.node("MatMul", x, self.constant(matrix(inner, WIDTH)[None]))


class OtherWeights(Transformer):
    """Each token gives itself away, instead of taking."""

    def weights(self, scores: str) -> str:
        return self.node("Softmax", scores, axis=-2)


class CappedScores(Transformer):
    """What is done to a product of queries and keys is more than to scale it and to add to it."""

    def product(self, query: str, key: str) -> str:
        return self.node("Tanh", super().product(query, key))


class TokensOfATextAreAdded(Transformer):
    """A step between the layers that takes all tokens of a text together."""

    def layer(self, h: str) -> str:
        return super().layer(self.node("Add", h, self.node("ReduceMean", h, axes=[1])))


class ScoresFromTokens(Transformer):
    """A number of each token is added to its scores, which needs it text by text."""

    def layer(self, h: str) -> str:
        self.tokens = h
        return super().layer(h)

    def scores(self, product: str) -> str:
        own = self.node("MatMul", self.tokens, self.constant(matrix(WIDTH, 1)))
        return self.node("Add", product, self.node("Unsqueeze", own, self.constant(np.array([1]))))


class AProductOfTwo(Transformer):
    """The right side of a product of tokens is not a constant."""

    def layer(self, h: str) -> str:
        pairs = self.node("MatMul", h, self.node("Transpose", h, perm=[0, 2, 1]))
        return super().layer(self.node("MatMul", pairs, h))


class AMatrixIsAdded(Transformer):
    """Which may be another number for each text or position."""

    def added(self, part: str, h: str) -> str:
        return super().added(self.node("Add", part, self.constant(matrix(1, WIDTH))), h)


@pytest.mark.parametrize(
    "kind",
    [
        *(ScaledWithItsMask, HeadsAreTexts, HeadsOfTexts, HeadsAreMixed, PartedOtherwise, ValuesAreWider, OtherWeights),
        *(CappedScores, TokensOfATextAreAdded, ScoresFromTokens, AProductOfTwo, AMatrixIsAdded, NormedOverTokens),
        *(ScoresFromMeans, AStackOfMatrices),
    ],
)
def test_a_graph_that_treats_tokens_differently_is_unchanged(kind: type[Transformer], tmp_path: Path) -> None:
    graph = kind()
    assert laid_out(graph, tmp_path, graph.run())[0] == 0


@pytest.mark.parametrize(
    "last",
    [
        lambda graph, h: graph.node("ReduceMean", h, axes=[1]),
        lambda graph, h: graph.node("Reshape", h, graph.constant(np.array([-1, WIDTH]))),
    ],
)
def test_a_model_whose_output_is_not_tokens_is_unchanged(last: Callable[[Graph, str], str], tmp_path: Path) -> None:
    graph = Transformer()
    assert laid_out(graph, tmp_path, last(graph, graph.run()))[0] == 0


def test_tokens_change_their_order_after_the_first_norm(tmp_path: Path) -> None:
    graph = AProductOfTwo()
    h = graph.norm(graph.run(layers=1))
    count, after = laid_out(graph, tmp_path, Transformer.layer(graph, h))
    assert count == 1
    assert after.kinds["Softmax"] == 2


class ScoresFromTheWordsShape(Transformer):
    def words(self) -> str:
        words = super().words()
        self.shape = self.node("Shape", words)
        return words

    def scores(self, product: str) -> str:
        texts = self.node("Cast", self.node("Gather", self.shape, self.constant(np.array([0]))), to=FLOAT)
        return self.node("Add", super().scores(product), texts)


def test_a_shape_read_from_the_word_vectors_keeps_its_order(tmp_path: Path) -> None:
    graph = ScoresFromTheWordsShape()
    count, after = laid_out(graph, tmp_path, graph.run())
    assert (count, after.kinds["Cast"], after.kinds["Shape"]) == (2, 2, 2)


def test_a_product_that_is_used_twice_is_computed_once(tmp_path: Path) -> None:
    graph = Transformer()
    h = graph.run(layers=1)
    product = graph.plain(h)
    both = graph.node("Mul", graph.node("Add", product, h), product)
    count, after = laid_out(graph, tmp_path, graph.norm(both))
    assert (count, after.kinds["Gemm"]) == (1, 2)


def test_the_default_model_copies_once_in_each_layer(encoder: Encoder) -> None:
    graph = onnx.load(str(compiled_folder(encoder.space.fingerprint) / MODEL_FILE), load_external_data=False).graph
    kinds = [node.op_type for node in graph.node]
    assert {kind: kinds.count(kind) for kind in ("Softmax", "FusedMatMul", "Gemm", "Transpose")} == {
        "Softmax": 6,
        "FusedMatMul": 12,
        "Gemm": 12,
        "Transpose": 8,
    }
