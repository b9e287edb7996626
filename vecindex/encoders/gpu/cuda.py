"""The runtime for GPUs: torch in half precision, texts tokenized beside it, nothing padded where it can be helped.

A call goes through its texts in blocks. While the device computes one, the next is tokenized and the last one's
vectors are put in their places: none of the three waits for another unless it is the slowest.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from ...errors import Advice, EncodingFailed, InvalidInput, UnsupportedModel
from ...machine.batching import CHARACTERS, windows
from ...machine.cores import available_cores
from ...machine.threads import in_thread
from ...values.arguments import entrance
from ...values.space import Precision, Role, Space
from ..run.agreement import BUILT_IN, SAMPLE, Agreement, compare
from ..run.checks import OnLong, check_directions, checked_texts, no_token, not_finite, on_long_check, role_check
from ..run.encoder import TEXTS_A_WINDOW, Encoded, IntArray
from ..run.pooling import FloatArray, unit_length
from ..run.text_tokenizer import TokenizingEncoder
from ..run.torch import TorchEncoder
from .lanes import cuda_problem, is_out_of_memory
from .on_device import DTYPES, OnDevice, Running
from .token_arrays import TokenArrays
from .token_workers import TokenWorkers

log = logging.getLogger("vecindex")

TEXTS_A_BLOCK = 32_768
"""Texts that are sorted by length together: enough that most lengths fill a batch of their own."""
PROCESSES_FROM = 8_192
"""Texts in one call from which on processes are started to tokenize, which takes some tenths of a second, once."""
TEXTS_A_PART = 1024
"""Texts that a process is given at a time: a block is many more parts than processes, so that all end together."""
MOST_PROCESSES = 16
_THREADS = 2  # tokenizers itself uses all cores; a second one works while the first holds the interpreter lock
_WINDOWS_A_BLOCK = 16

# all-MiniLM-L6-v2 on a processor, measured over 200 texts: bf16, with 8 bits, has a mean of 0.99995 and a least of
# 0.99988; fp16, with 11, 0.999999 and 0.999998. The bounds leave room for models of many more layers; numbers that
# overflow, or a kernel that computes something else, cost tenths and not thousandths.
LEAST_AGREEMENT: dict[Precision, float] = {"fp32": 0.99999, "bf16": 0.99, "fp16": 0.99}
"""The least cosine between a probe's vector and that of the reference in fp32."""
MEAN_AGREEMENT: dict[Precision, float] = {"fp32": 0.99999, "bf16": 0.999, "fp16": 0.999}
"""The least mean of these cosines."""
_INSTEAD: dict[Precision, str] = {
    "fp32": "it is exact on the processor",
    "bf16": "fp16 and fp32 are more exact",
    "fp16": "bf16 holds larger numbers, and fp32 is more exact",
}
_PROBES = (*SAMPLE, "", "a long text " * 40, "a text that is longer than many a model's limit " * 120)
_ALONE = 6  # each so manieth probe is encoded alone too, without padding and so through another kernel


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Texts that are computed together: the different ones, the place of each among them, and their tokens."""

    unique: list[str]
    places: IntArray
    tokens: TokenArrays


class CudaEncoder(TokenizingEncoder):
    """The model in ``folder`` on a GPU, in the precision of its space: fp32, bf16 or fp16.

    A vector depends on the other texts in a call as far as the precision goes: kernels add in another order for
    another shape. ``agreement`` says how well its vectors agree with those of the reference in fp32.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        *,
        device: str = "cuda",
        processes: int | None = None,
        tokens_a_batch: int | None = None,
    ) -> None:
        """Loads the model with the libraries that it was made with, and checks it on the device.

        Args:
            folder: the model's files.
            space: what they define, in the precision that is wanted.
            device: "cuda", or "cuda:1" for the second one; tests use "cpu".
            processes: how many tokenize where there are many texts; None asks the cores, 0 never starts one.
            tokens_a_batch: the most tokens in a batch to begin with; None asks the device's memory.

        Raises:
            InvalidInput: there is no such device, or it cannot compute in this precision.
            UnsupportedModel: the model does not work there, or agrees too little with the reference.
            EncodingFailed: it does not fit into the device's memory.
        """
        place = _device(device, space.precision)
        self.space = space
        self._reference = TorchEncoder(folder, replace(space, precision="fp32"))
        self.head = self._reference.head
        self.text_tokenizer = self._reference.text_tokenizer
        self._process_count = min(MOST_PROCESSES, available_cores() - 1) if processes is None else processes
        self._processes: TokenWorkers | None = None
        self._starting = threading.Lock()
        skipped, prompt = self.pooled_from("document"), space.document_prompt
        probes = [p for p in _PROBES if len(self.text_tokenizer.tokenize([prompt + p])[0].ids) > skipped]
        expected = self._reference.encode(probes)
        with self._refused_by(place):
            self._on_device = OnDevice(
                *(self._reference.transformer, self.head, place, cast(Precision, space.precision)),
                padding_id=self.padding_id,
                max_tokens=space.max_tokens,
                tokens_a_batch=tokens_a_batch,
            )
            self.agreement = self._checked(probes, expected)

    @property
    def padding_id(self) -> int:
        return self._reference.padding_id

    @property
    def texts_at_once(self) -> int:
        return TEXTS_A_BLOCK

    @property
    def runtime(self) -> str:
        return f"torch on {self._on_device.lanes.device}"

    def environment(self) -> dict[str, str]:
        device = self._on_device.lanes.device
        card = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return {
            **self._reference.environment(),
            **{"runtime": f"torch on {device.type}", "cuda": torch.version.cuda or "", "card": card},
        }

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        return self._on_device.states(input_ids, attention_mask)

    def close(self) -> None:
        """Ends the processes that tokenize, if there are any; they are started again when they are needed."""
        with self._starting:
            processes, self._processes = self._processes, None
        if processes is not None:
            processes.close()

    @entrance(role=role_check, on_long=on_long_check)
    def encode_all(self, texts: Sequence[str], role: Role = "document", on_long: OnLong = "truncate") -> Encoded:
        texts = checked_texts(texts)
        vectors = np.empty((len(texts), self.space.dimension), dtype=np.float32)
        lost, unknown = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.bool_)
        skipped, surroundings = self.pooled_from(role), self._surrounding(role)
        begun: deque[tuple[int, _Block, Running]] = deque()

        def put() -> None:
            start, block, running = begun.popleft()
            rows, cut = running.rows(), block.tokens.lost
            hidden = surroundings.hide_each(block.tokens.ids, block.tokens.lengths)
            if on_long == "mean" and cut.any():
                long = np.flatnonzero(cut)
                texts_cut = [block.unique[i] for i in long.tolist()]
                rows[running.ranks[long]], hidden[long] = self._means_of_parts(texts_cut, role)
                cut = np.zeros_like(cut)
            end = start + len(block.places)
            # mode="clip" writes straight into its place; all ranks are within the bounds.
            np.take(rows, running.ranks[block.places], axis=0, out=vectors[start:end], mode="clip")
            check_directions(vectors[start:end], texts[start:end], self.space, skipped)
            lost[start:end], unknown[start:end] = cut[block.places], hidden[block.places]

        start = 0
        with contextlib.closing(self._blocks(texts, role)) as blocks:
            for block in blocks:
                self._check(block, skipped, on_long)
                begun.append((start, block, self._on_device.start(block.tokens, skipped)))
                start += len(block.places)
                if len(begun) > 1:
                    put()
        while begun:
            put()
        return Encoded(vectors, lost, unknown)

    def _check(self, block: _Block, skipped: int, on_long: OnLong) -> None:
        """Raises InvalidInput for a text that cannot be encoded, before anything is computed."""
        tokens = block.tokens
        if (tokens.lengths <= skipped).any():
            raise no_token(block.unique[int(tokens.lengths.argmin())], skipped)
        if on_long == "error" and tokens.lost.any():
            self.refuse_long(block.unique[int(tokens.lost.argmax())], int(tokens.lost.max()))

    def _blocks(self, texts: Sequence[str], role: Role) -> Generator[_Block, None, None]:
        """The texts in blocks, each once; the next block is tokenized while the caller computes this one."""
        prompt = self.space.prompt(role)
        tokenize, threads, part = self._tokenizing(len(texts))

        def tokens(window: list[str]) -> TokenArrays:
            return tokenize([prompt + text for text in window] if prompt else window)

        ahead: deque[tuple[list[str], IntArray, list[Future[TokenArrays]]]] = deque()

        def joined() -> _Block:
            unique, places, futures = ahead.popleft()
            return _Block(unique, places, TokenArrays.joined([future.result() for future in futures]))

        pool = ThreadPoolExecutor(threads, "vecindex-tokenize")
        try:
            for block in windows(texts, TEXTS_A_BLOCK, str, _WINDOWS_A_BLOCK * CHARACTERS):
                unique = {text: place for place, text in enumerate(dict.fromkeys(block))}
                places = np.fromiter((unique[text] for text in block), dtype=np.int64, count=len(block))
                futures = [in_thread(pool, tokens, some) for some in windows(list(unique), part, str)]
                ahead.append((list(unique), places, futures))
                if len(ahead) > 1:
                    yield joined()
            while ahead:
                yield joined()
        except EncodingFailed:
            self.close()  # what is left of the processes, for calls beside this one too; the next one starts anew
            raise
        finally:
            pool.shutdown(cancel_futures=True)  # and waits for what has begun: no answer is left in a pipe

    def _tokenizing(self, count: int) -> tuple[Callable[[Sequence[str]], TokenArrays], int, int]:
        """What tokenizes in a call of ``count`` texts, how many threads ask it at once, and for how many texts each."""
        if count > PROCESSES_FROM and self._process_count > 1:
            with self._starting:
                if self._processes is None:
                    self._processes = TokenWorkers(self.text_tokenizer, self._process_count)
                return self._processes.tokenize, self._processes.count, TEXTS_A_PART
        return lambda texts: TokenArrays.of(self.text_tokenizer, texts), _THREADS, TEXTS_A_WINDOW

    def _means_of_parts(self, texts: list[str], role: Role) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """For each text the mean of its parts' vectors, each counted as often as it has tokens, of unit length.

        And whether the model knows no token of any.
        """
        parts = [[text[start:end] for start, end in self.parts(text, role)] for text in texts]
        flat = [part for each in parts for part in each]
        weights = np.array(self.count_tokens(flat, role), dtype=np.float32)
        firsts = np.cumsum([0, *map(len, parts[:-1])])
        encoded = self.encode_all(flat, role)
        sums = np.add.reduceat(weights[:, None] * encoded.vectors, firsts, axis=0)
        return unit_length(sums), np.logical_and.reduceat(encoded.unknown, firsts)

    def _checked(self, probes: list[str], expected: FloatArray) -> Agreement:
        """How well the probes' vectors agree with the expected ones, together and some of them alone."""
        precision = cast(Precision, self.space.precision)
        try:
            found = self.encode(probes)
            alone = np.concatenate([self.encode([probe]) for probe in probes[::_ALONE]])
        except EncodingFailed as error:
            if not not_finite(error):
                raise
            found = np.full_like(expected, np.nan)
            alone = found[::_ALONE]
        agreement = compare(BUILT_IN, expected, found)
        least = min(agreement.least, float((expected[::_ALONE] * alone).sum(axis=1).min()))
        agreement = replace(agreement, least=least)
        figures = agreement.describe()
        # NaN, of numbers too large for fp16, agrees with nothing.
        if not (agreement.least >= LEAST_AGREEMENT[precision] and agreement.mean >= MEAN_AGREEMENT[precision]):
            raise UnsupportedModel(
                self.space.model,
                f"in {precision} on {self._on_device.lanes.device} its vectors agree too little with those in fp32 on "
                f"the processor: {figures}; the bounds are {MEAN_AGREEMENT[precision]} and "
                f"{LEAST_AGREEMENT[precision]}; {_INSTEAD[precision]}",
            )
        log.info("%s in %s on %s agrees with fp32: %s.", self.space.model, precision, self.runtime, figures)
        return agreement

    @contextlib.contextmanager
    def _refused_by(self, device: torch.device) -> Iterator[None]:
        """Says what is meant by errors of a model that is moved to a device and first used there."""
        try:
            yield
        except (UnsupportedModel, EncodingFailed):
            raise
        except Exception as error:  # torch's and transformers' own, which depend on the model
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            if is_out_of_memory(error):
                raise EncodingFailed(
                    f"{self.space.model} does not fit into the memory of {device} ({reason})",
                    Advice(
                        'End other programs that use it, choose a smaller model, or encode with device="cpu".',
                        typed="End other programs that use it, choose a smaller model, or encode with --device cpu.",
                    ),
                ) from error
            what = f"it does not work in {self.space.precision} on {device} ({reason})"
            raise UnsupportedModel(self.space.model, what) from error


def _device(name: str, precision: str) -> torch.device:
    """The device of this name, if it can be used in this precision."""
    if precision not in DTYPES:
        raise InvalidInput(f"the precision {precision} is none of GPUs", f"They have: {', '.join(DTYPES)}.")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise InvalidInput(f"the device {name!r} is not known", "It is 'cuda', or 'cuda:1' for the second one.")
    if (problem := cuda_problem()) is not None:
        raise InvalidInput(
            f"the device {name!r} cannot be used: {problem}",
            Advice("Or leave device= out.", typed="Or leave --device out."),
        )
    count = torch.cuda.device_count()
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= count:
        raise InvalidInput(f"there is no device {name!r}", f"{count} can be seen, and they are counted from cuda:0.")
    device = torch.device("cuda", index)
    if precision == "bf16" and torch.cuda.get_device_capability(device) < (8, 0) and torch.version.hip is None:
        card = torch.cuda.get_device_name(device)
        raise InvalidInput(
            f"{card} does not compute in bf16", Advice('Use precision="fp16".', typed="Use --precision fp16.")
        )
    return device
