"""Formats what an evaluation found: a table of systems and measures, and what their differences are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .results import counted, json_text, printable

if TYPE_CHECKING:
    from ...evaluate.results import Difference, Evaluation, SystemReport
    from ...evaluate.self_test import SelfTest
    from ...search.dense.recall import AnnRecall

_COLUMN = 14


def evaluation_as(format_: str, found: Evaluation) -> str:
    """The facts, a table, and a line for each pair of systems."""
    if format_ == "json":
        return json_text(found.to_dict())
    queries = len(found.queries)
    facts = [f"{_queries(queries)}, {counted(found.judgements, 'relevant judgement')}, k = {found.k}, by {found.by}."]
    if found.unjudged:
        facts.append(f"{_queries(found.unjudged)} without anything relevant left out.")
    if found.missing:
        facts.append(
            f"{counted(found.missing, 'judgement')} of what the index does not have, which counts as not found."
        )
    lines = [" ".join(facts), "", *_table(found.systems, queries), *_comparison(found.differences, found.measures[0])]
    return "\n".join(lines) + "\n"


def self_test_as(format_: str, found: SelfTest) -> str:
    """A table for each kind of query, and the recall."""
    if format_ == "json":
        return json_text(found.to_dict())
    lines = [f"Queries made from {counted(found.records, 'record')}.", ""]
    for each in found.kinds:
        lines += [f"{_KINDS[each.kind]} ({_queries(each.queries)}):", *_table(each.systems, each.queries)]
        lines += [*_comparison(each.differences, each.systems[0].estimates[0].measure), ""]
    return "\n".join([*lines, _recall(found.ann_recall)]) + "\n"


_KINDS = {
    "shortened": "A part of a text finds its record",
    "misspelt": "A text with typing errors finds its record",
    "document": "A sentence finds others of its document",
}


def _queries(number: int) -> str:
    return f"{number} {'query' if number == 1 else 'queries'}"


def _table(systems: Sequence[SystemReport], queries: int) -> list[str]:
    """A line of means for each system, and under it their 95 % intervals."""
    names = [_name(each, queries) for each in systems]
    width = max(map(len, ["95 % intervals", *names])) + 2
    lines = [_line("", [each.measure for each in systems[0].estimates], width)]
    for name, system in zip(names, systems, strict=True):
        lines.append(_line(name, [f"{each.mean:.4f}" for each in system.estimates], width))
        bounds = [f"{each.low:.3f}-{each.high:.3f}" for each in system.estimates]
        lines.append(_line("  95 % interval", bounds, width))
    return lines


def _name(system: SystemReport, queries: int) -> str:
    few = "" if system.queries == queries else f", {_queries(system.queries)}"
    return printable(system.system) + few


def _line(name: str, cells: Sequence[str], width: int) -> str:
    return f"{name:<{width}}{''.join(f'{cell:<{_COLUMN}}' for cell in cells)}".rstrip()


def _comparison(differences: Sequence[Difference], measure: str) -> list[str]:
    """What the pairs differ by in one measure."""
    some = [each for each in differences if each.measure == measure]
    if not some:
        return []
    lines = ["", f"Differences in {measure}, with 95 % intervals and p-values of a paired randomisation test:"]
    for each in some:
        names = f"{printable(each.system)} against {printable(each.other)}"
        bounds = f"{each.low:+.4f} to {each.high:+.4f}"
        lines.append(f"  {names}: {each.difference:+.4f} ({bounds}), p = {_p(each.adjusted_p)}: {_verdict(each)}")
    return lines


def _verdict(found: Difference) -> str:
    if found.is_real:
        return "better" if found.difference > 0 else "worse"
    return "may be noise" if found.low < found.high else "the same"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 else f"{value:.1g}"


def _recall(found: AnnRecall) -> str:
    how = "every record is scored" if found.is_exact else "against exact search"
    return f"ann_recall@{found.k}: {found.recall:.4f} ({counted(found.queries, 'stored vector')}; {how})"
