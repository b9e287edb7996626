"""Measures how well a model's vectors in fewer bits agree with those in fp32, and sets the bounds.

The bounds lie between measurements of correct and of overflowing arithmetic. all-MiniLM-L6-v2 over 5,700 texts (STS
Benchmark, Common Voice in English and other languages, SciFact's abstracts): 8 bits have a mean cosine of 0.9955 to
0.9974 and a least of 0.976, 7 bits 0.9939 to 0.9961 and 0.973; their Spearman correlation on STS Benchmark dev is 0.06
and 0.16 points lower than that of fp32. onnxruntime's own quantisation, whose sums overflow on some processors, has a
mean of 0.958 there and loses 0.4 points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InvalidInput
from .encoder import Encoder
from .pooling import FloatArray

LEAST_MEAN = 0.99
LEAST_COSINE = 0.95
BUILT_IN = "built-in"
_TOP = 10
_ASKED = 500


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two encoders agree on ``texts`` texts from ``sample``.

    ``mean`` and ``least`` are of the cosines between a text's two vectors. ``top10`` is the share of a text's 10
    nearest neighbours that are the same for both, averaged over at most 500 texts.
    """

    sample: str
    texts: int
    mean: float
    least: float
    top10: float

    @property
    def accepted(self) -> bool:
        """Whether both cosines reach their bounds, which NaN never does."""
        return self.mean >= LEAST_MEAN and self.least >= LEAST_COSINE

    def describe(self) -> str:
        """A summary of half a line."""
        return (
            f"mean cosine {self.mean:.4f}, least {self.least:.4f}, {100 * self.top10:.1f} % of the top {_TOP} the same "
            f"({self.texts} texts, {self.sample})"
        )


def measure(full: Encoder, fewer: Encoder, sample: str, texts: Sequence[str]) -> Agreement:
    """Compares an encoder in fp32 with one in fewer bits on these texts."""
    texts = list(dict.fromkeys(texts))
    if len(texts) < 2:
        raise InvalidInput(
            f"the sample {sample} has {len(texts)} different texts",
            "Use at least 2; 50 or more give a better measurement.",
        )
    return compare(sample, full.encode(texts), fewer.encode(texts))


def compare(sample: str, one: FloatArray, other: FloatArray) -> Agreement:
    """How well two sets of vectors (n, D) of the same texts agree; n is at least 2."""
    cosines = (one * other).sum(axis=1)
    return Agreement(sample, len(one), float(cosines.mean()), float(cosines.min()), _same_nearest(one, other))


def _same_nearest(one: FloatArray, other: FloatArray) -> float:
    """The share of equal neighbours of at most `_ASKED` texts, evenly spaced, so that memory is bounded."""
    k = min(_TOP, len(one) - 1)
    asked = np.linspace(0, len(one) - 1, min(len(one), _ASKED)).astype(int).tolist()
    return float(np.mean([len(_nearest(one, row, k) & _nearest(other, row, k)) / k for row in asked]))


def _nearest(vectors: FloatArray, row: int, k: int) -> set[int]:
    scores = vectors @ vectors[row]
    scores[row] = -np.inf
    return set(np.argpartition(-scores, k - 1)[:k].tolist())


SAMPLE = (
    "My name is Aun",
    "It rains.",
    "What time does the last train to the airport leave?",
    "The committee postponed its decision until the budget had been approved by both chambers.",
    "Add two eggs, a pinch of salt and 250 g of flour, then knead for ten minutes.",
    "She has been learning the cello since she was six.",
    "Why does bread go stale faster in the fridge?",
    "A cat sleeps on the warm hood of a parked car.",
    "A dog is running along the beach after a ball.",
    "Two children build a castle of sand near the water.",
    "The defendant shall pay all costs arising from the late delivery of the goods.",
    "def mean(values): return sum(values) / len(values)",
    "SELECT name, count(*) FROM orders WHERE paid = 1 GROUP BY name ORDER BY 2 DESC;",
    "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "https://example.org/articles/2024/how-to-prune-roses",
    "Patients who received 40 mg daily showed a 12.5 % lower risk of stroke (p < 0.01).",
    "Mitochondria convert the energy of nutrients into a form that the cell can use.",
    "The enzyme is inhibited by its own product, which keeps the concentration of the metabolite within narrow limits "
    "even when the supply of the substrate changes by an order of magnitude.",
    "Light takes about eight minutes from the sun to the earth.",
    "The bridge was closed after engineers had found cracks in three of its cables.",
    "How do I reset my password if I no longer have access to my old phone number?",
    "Please find attached the minutes of yesterday's meeting.",
    "lol that was the best match i have seen in years",
    "GREAT PRODUCT!!! would buy again, five stars",
    "The battery lasts two days, but the screen scratches far too easily.",
    "It was the worst meal we had on the whole journey.",
    "Interest rates were raised by a quarter of a point on Thursday.",
    "Shares of the airline fell 7% after it had warned of lower profits.",
    "The quick brown fox jumps over the lazy dog.",
    "to be or not to be",
    "Water boils at a lower temperature on a mountain.",
    "Which plants need little light and little water?",
    "Prune the roses in early spring, before the first buds open.",
    "Tomatoes grow best in a sunny place that is sheltered from wind.",
    "The museum is closed on Mondays and on public holidays.",
    "Turn left at the second traffic light and follow the road to the river.",
    "He forgot his umbrella on the bus again.",
    "Nobody answered when she knocked at the door.",
    "They have not decided yet whether they will move to the coast.",
    "I am not sure that this is a good idea.",
    "This is surely a good idea.",
    "A man is playing a guitar on a stage.",
    "Somebody plays an instrument in front of an audience.",
    "The stock market closed higher.",
    "The supermarket closed early.",
    "1984",
    "7:45 a.m., platform 3, coach 21",
    "Der Zug nach Köln fährt um 7:45 Uhr ab.",
    "Die Katze liegt auf dem Dach und schläft.",
    "Le musée est fermé le lundi.",
    "Quelle heure est-il à Tokyo ?",
    "El perro corre por la playa detrás de una pelota.",
    "Il pane fresco profuma tutta la casa.",
    "Сегодня идёт дождь, и мы остаёмся дома.",
    "今日はとても良い天気ですね。",
    "火车站在哪里",
    "القطة نائمة على السطح",
    "आज मौसम बहुत अच्छा है।",
    "Thanks! 🙏 See you tomorrow 😊",
    "The history of the town begins with a ford across the river, where merchants on their way to the coast waited "
    "for low water. An inn was built there, then a chapel, and in the course of two centuries a market that drew "
    "farmers from all the villages around. When the railway came, the market moved to the station, and the old square "
    "by the river fell asleep; today it is full of cafés, and the ford is crossed by a bridge for cyclists.",
    "Machine translation, summarisation and question answering were for a long time treated as separate problems with "
    "separate models. Representations that are learned from large amounts of plain text changed that: one model is "
    "trained once, and a small part of it is adapted to each of the tasks. What is gained in comfort is paid for in "
    "computing time, and so much work goes into models that give nearly the same answers with fewer bits.",
)
"""Texts of many kinds: short and long, questions, code, numbers, and several languages and scripts."""
