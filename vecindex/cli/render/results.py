"""Formats results: text for people, JSON for programs. Nothing is printed here."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ...values.nested import on_own_stack

if TYPE_CHECKING:
    from ...encoders.explain import Explanation, TokenExplanation
    from ...index.adding.files import FilesReport
    from ...search.dense.tune import Trial
    from ...values.records import AddReport, CompactReport, EncodeReport, IndexInfo, TokenReport, VerifyReport

# Control characters, line and paragraph separators, and marks that change the direction of writing: a stored text must
# not be able to clear a terminal, or to disguise its line.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

LINE_END = re.compile(r"\r\n?|\n")
_BREAK = re.compile(r"[ \t]*(?:\r\n?|\n)\s*")


def printable(text: str) -> str:
    """``text`` on one line, with escapes for characters that are unsafe on a terminal."""
    return _UNSAFE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def on_one_line(text: str, metadata: Mapping[str, Any] | None = None) -> str:
    """As `printable`, with a space for each line break, or with a mark in code, whose metadata says so."""
    is_code = metadata is not None and metadata.get("code") is True
    return printable(_BREAK.sub(" \u21b5 " if is_code else " ", text).replace("\t", " "))


def escaped_json(text: str) -> str:
    """The same JSON, or lines of it, with JSON escapes for characters that are unsafe on a terminal."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def counted(number: int, noun: str) -> str:
    """Returns "1 record", "2,000 records"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def info_as(format_: str, info: IndexInfo) -> str:
    """Formats the facts about an index."""
    if format_ == "json":
        return json_text(asdict(info))
    return aligned([(name.replace("_", " "), _plain(value)) for name, value in asdict(info).items()])


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        value = ", ".join(value) or None
    return "-" if value is None else value


def verified_as(format_: str, report: VerifyReport) -> str:
    """Formats what was repaired, each fault with the command that repairs it, and what was checked."""
    if format_ == "json":
        return json_text({"ok": report.ok, **asdict(report)})
    repaired = "".join(f"Repaired: {printable(f.path)}: {printable(f.reason)}\n" for f in report.repaired)
    faults = "".join(
        f"{printable(f.path)}: {printable(f.reason)}\n  To repair it: {printable(f.repair)}\n" for f in report.faults
    )
    verdict = "sound" if report.ok else counted(len(report.faults), "fault")
    without = f" ({report.without_vector:,} without a vector)" if report.without_vector else ""
    held = f"{counted(report.records, 'record')}{without}, {counted(report.rows, 'row')}"
    return f"{repaired}{faults}{held}: {verdict}\n"


def added_line(report: AddReport) -> str:
    """How many records were added, updated and so on."""
    said = [f"{report.added} added", f"{report.updated} updated", f"{report.unchanged} unchanged"]
    if report.duplicates:
        said.append(f"{report.duplicates:,} duplicate{'s' * (report.duplicates != 1)} in the input")
    if report.removed:
        said.append(f"{report.removed} removed")
    if report.without_vector:
        said.append(f"{report.without_vector:,} without a vector")
    return ", ".join(said)


def sources_line(report: FilesReport) -> str:
    """How many sources were read and so on, if there is more than one to tell of."""
    said = [
        f"{number:,} {word}"
        for number, word in (
            *((report.read, "read"), (report.skipped, "unchanged"), (report.moved, "moved")),
            (len(report.gone), "gone"),
        )
        if number
    ]
    total = report.read + report.skipped + report.moved + len(report.gone)
    return f"; {total:,} sources: {', '.join(said)}" if total > 1 else ""


def gone_line(gone: Sequence[str]) -> str:
    """Which sources are gone, and what removes their records."""
    if len(gone) == 1:
        return f"{gone[0]} is gone; --prune removes its records."
    return f"{len(gone):,} sources are gone, such as {gone[0]}; --prune removes their records."


def compact_line(report: CompactReport) -> str:
    """What a compaction removed, and how much space that freed."""
    forgotten = f" and {counted(report.forgotten_texts, 'cached text')}" if report.forgotten_texts else ""
    return (
        f"{counted(report.dropped_rows, 'dead row')}{forgotten} removed; "
        f"{report.bytes_before:,} bytes before, {report.bytes_after:,} after."
    )


def tokens_line(report: TokenReport) -> str:
    """How many token vectors are stored, and how much space they take."""
    return (
        f"{counted(report.encoded, 'text')} encoded; {counted(report.tokens, 'token vector')} of "
        f"{counted(report.rows, 'row')} stored, {report.bytes_a_token} bytes each, {report.bytes:,} bytes in all."
    )


def encoded_line(report: EncodeReport) -> str:
    """How many records got a vector, and how many have none."""
    left = f"; {counted(report.without_vector, 'record')} left without one" if report.without_vector else ""
    return f"{counted(report.encoded, 'record')} got a vector{left}."


def trial_line(trial: Trial) -> str:
    """Settings of the codes and their measurements."""
    return f"{trial.settings.describe()}: recall {trial.recall:.4f}, {trial.p50_ms:.2f} ms a search"


def explanation_as(format_: str, explanation: Explanation, width: int) -> str:
    """Formats an explanation as JSON, or for people in lines of at most ``width``."""
    if format_ == "json":
        fields = asdict(explanation)
        if explanation.score is None:
            del fields["score"], fields["against"]
            for token in fields["tokens"]:
                del token["contribution"]
        return json_text(fields)
    return _explanation_text(explanation, min(max(width, 40), 100))


_STEPS = (
    "{model} split the text into {tokens} tokens, listed below with their ids. Its tokenizer may add special tokens, "
    "such as [CLS] and [SEP]; ## marks the continuation of a word.",
    "TOKEN VECTORS {token_vectors}: 1 text, {tokens} rows, {dimension} columns. A row is one token: its last hidden "
    "state, that is what the token means in this text, after all layers of the model. A column is one learned "
    "feature; it has no name and means something only together with the others. (Token, position and segment "
    "embeddings are something else: they are looked up for each token and summed at the input, before the layers. "
    "These rows are the output.)",
    "ATTENTION MASK {attention_mask}: 1 for a real token, 0 for the padding that fills up shorter texts in a batch; "
    "padding never counts.",
    "SENTENCE VECTOR {sentence_vector}: {pooling}, divided by its length. Every text gets one vector of {dimension} "
    "numbers, however long it is, so two texts can be compared: by the cosine of their vectors.",
    "Flattening the {token_vectors} array instead would make {flat} numbers, and each position would belong to a "
    "different token in every text; padding such arrays to one length does not make them comparable.",
)

_POOLING = {
    "mean": "the mean of the rows (mean pooling)",
    "cls": "the first row (CLS pooling)",
    "max": "the largest number of each column (max pooling)",
    "mean_sqrt_len_tokens": "the sum of the rows, divided by the square root of their number",
    "weightedmean": "the mean of the rows, weighted by their positions (weighted mean pooling)",
    "lasttoken": "the last row (last token pooling)",
}


def _pooling(modes: str) -> str:
    """The pooling of a `Space`, in words."""
    names = [_POOLING.get(mode, mode) for mode in modes.split("+")]
    return names[0] if len(names) == 1 else "concatenated: " + "; ".join(names)


def _explanation_text(e: Explanation, width: int) -> str:
    _, tokens, dimension = e.shapes.token_vectors
    facts = {
        "model": printable(e.model),
        "tokens": tokens,
        "dimension": dimension,
        "token_vectors": list(e.shapes.token_vectors),
        "attention_mask": list(e.shapes.attention_mask),
        "sentence_vector": list(e.shapes.sentence_vector),
        "pooling": _pooling(e.pooling),
        "flat": f"{tokens * dimension:,}",
    }
    lines = [f'"{_shortened(e.text, width - 2)}"', ""]
    for number, step in enumerate(_STEPS, 1):
        lines += [*_wrapped(f"{number}. {step.format(**facts)}", width, "   "), ""]
    if e.truncated:
        cut = counted(e.truncated, "token")
        lines += [*_wrapped(f"TRUNCATED: the model does not read the last {cut} of the text.", width), ""]
    if e.score is None:
        what = "Each token's share of the sentence vector (the shares add up to 1), in the text's order:"
        values = [(token.share, token) for token in e.tokens]
    else:
        query = _shortened(e.against or "", width)
        what = f'What each token adds to the cosine with "{query}", largest first:'
        values = sorted(((t.contribution or 0.0, t) for t in e.tokens), key=lambda pair: -pair[0])
    lines += [*_wrapped(what, width), "", *_bars(values, width)]
    if e.score is not None:
        total = f"{e.score:>+9.4f}  is their sum: the cosine, which is the score that search prints"
        lines += _wrapped(total, width, " " * 11)
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent)


_BESIDE_THE_NAME = 28
"""The width of a line of `_bars` without the token's name and the bar: value, position, id, and a margin of one."""
_SHORTEST_BAR = 8


def _bars(values: Sequence[tuple[float, TokenExplanation]], width: int) -> list[str]:
    """A line for each token: value, position, token, id, and a bar, which is light for negative values."""
    names = [_shortened(token.token, min(24, width - _BESIDE_THE_NAME - _SHORTEST_BAR)) for _, token in values]
    name_width = max(5, *map(len, names))
    longest = max(abs(value) for value, _ in values) or 1.0
    room = width - name_width - _BESIDE_THE_NAME
    lines = [f"{'value':>9}  {'pos':>3}  {'token':<{name_width}}  {'id':>7}"]
    for (value, token), name in zip(values, names, strict=True):
        bar = ("█" if value >= 0 else "░") * round(abs(value) / longest * room)
        lines.append(f"{value:>+9.4f}  {token.position:>3}  {name:<{name_width}}  {token.id:>7}  {bar}".rstrip())
    return lines


def _shortened(text: str, width: int) -> str:
    text = printable(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def aligned(rows: Sequence[tuple[str, Any]]) -> str:
    """Names and values, a line each; the lines of a value that has several stand below each other."""
    width = max(len(name) for name, _ in rows)
    lines = []
    for name, value in rows:
        first, *more = LINE_END.split(str(value))
        lines += [f"{name:<{width}}  {printable(first)}", *(f"{'':<{width}}  {printable(line)}" for line in more)]
    return "".join(f"{line}\n" for line in lines)


def json_text(value: Any) -> str:
    """A value as indented JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    except ValueError:
        return json_text(_finite(value))
    except RecursionError:  # indenting takes three calls a level, and earlier versions stored up to 1,000 levels
        return json_line(value) + "\n"


def json_line(value: Any) -> str:
    """A value as JSON on one line."""
    try:
        return on_own_stack(partial(json.dumps, ensure_ascii=False, allow_nan=False), value)
    except ValueError:
        return json_line(on_own_stack(_finite, value))


def _finite(value: Any) -> Any:
    """``value`` with null for NaN and infinity, which a damaged vector may have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(member) for name, member in value.items()}
    return [_finite(member) for member in value] if isinstance(value, (list, tuple)) else value
