"""The steps by which any model is exported and rewritten for speed, and what happens where that fails."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ...errors import EncodingFailed, UnsupportedModel
from ...machine.lacks import lack
from ..run.checks import first_line
from ..run.pooling import FloatArray
from .compiled_models import Defined, refusal, refuse

log = logging.getLogger("vecindex")

Loaded = TypeVar("Loaded")
Reference = TypeVar("Reference")


class NotExportedError(Exception):
    """The reference works but its export does not; says why."""


@contextlib.contextmanager
def export_errors() -> Iterator[None]:
    """Raises `NotExportedError` for whatever the libraries raise, unless something is lacking at the moment."""
    try:
        yield
    except UnsupportedModel as error:
        if lack(error):
            raise
        raise NotExportedError(error.reason) from error
    except Exception as error:  # onnxruntime and the exporter raise many classes
        if lack(error):
            raise
        raise NotExportedError(f"onnxruntime refuses the exported graph ({first_line(error)})") from error


def compiled_or_reference(
    defined: Defined,
    compiled: Callable[[], Loaded],
    reference: Callable[[], Reference],
    check: Callable[[Reference], None],
) -> Loaded | Reference:
    """What ``compiled`` makes now, or the reference if the model cannot be exported, which is remembered.

    Args:
        defined: the model.
        compiled: raises `NotExportedError` if it cannot be exported.
        reference: loads it in the libraries that it was made with.
        check: raises UnsupportedModel for a reference that is not right itself.
    """
    if refusal(defined) is not None:
        return reference()
    try:
        return compiled()
    except EncodingFailed as error:  # a passing lack of memory or disk space is not remembered
        log.warning("%s is not compiled this time and runs on torch, which is slower: %s.", defined.model, error.reason)
        return reference()
    except NotExportedError as error:
        found = reference()
        try:
            check(found)
        except UnsupportedModel as wrong:
            raise wrong from error
        log.warning("%s runs on torch, which is slower: %s.", defined.model, error)
        refuse(defined, str(error))
        return found


def save_graph(
    folder: Path, export: Callable[[Path], None], rewrite: Callable[[Path], Path], fused: bool = False
) -> None:
    """Writes the graph that is run and the tokenizer into ``folder``.

    Args:
        folder: is empty.
        export: writes the graph and the tokenizer into a folder.
        rewrite: gets the path of a graph with folded constants. It may write files beside it, and returns the path of
            the graph to use.
        fused: see `onnx.save_optimized`.
    """
    from ..run.onnx import MODEL_FILE, save_optimized
    from ..run.text_tokenizer import TOKENIZER_FILE

    exported, plain = folder / "exported", folder / "plain"
    exported.mkdir()
    plain.mkdir()
    export(exported)
    save_optimized(exported / MODEL_FILE, plain)
    (exported / TOKENIZER_FILE).rename(folder / TOKENIZER_FILE)
    shutil.rmtree(exported)
    save_optimized(rewrite(plain / MODEL_FILE), folder, fused)
    shutil.rmtree(plain)


def faster(
    model: str, plain: Path, run: Callable[[Path], FloatArray], change: Callable[[FloatArray, FloatArray], float]
) -> Path:
    """The graph after the rewrites for speed that leave its output unchanged.

    Args:
        model: its name.
        plain: the graph with folded constants; others are written beside it.
        run: the output of a graph for some probes.
        change: how far an output is from the one before, in units of the largest accepted change.
    """
    from .bias_folding import fold_biases
    from .token_layout import lay_out

    before = run(plain)
    best = plain
    for name, rewrite in {"folded": fold_biases, "laid_out": lay_out}.items():
        target = plain.with_name(f"{name}.onnx")
        try:
            if not rewrite(best, target):
                continue
            if not (found := change(before, run(target))) <= 1:
                raise ValueError(f"its output changes by {found:.1f} times the bound")
            best = target
        except Exception as error:  # the rewrite is only for speed
            log.debug("%s cannot be %s: %s.", model, name, first_line(error))
    return best
