"""``vecindex migrate``: changes the model of the index."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..interrupts import stopping_on_sigterm, word_and_code
from ..options import ExpandedPath, ModelOptions, answer_option, index_option, model_options
from ..output import emit, say, warn
from ..progress import Progress
from ..render.hits import snippet
from ..render.results import counted, json_text, printable

if TYPE_CHECKING:
    from ...index.change_model import MigrationReport

_CHANGED_SHOWN = 5
_FILE = ExpandedPath(path_type=Path)


@click.command()
@click.option("--queries", type=_FILE, metavar="FILE", help="Queries to compare: .txt or .jsonl.")
@click.option("--qrels", type=_FILE, metavar="FILE", help="TSV: query, key, relevance.")
@click.option("--anew", is_flag=True, help="Encode every text again, even with the same model, and reuse nothing.")
@click.option("--drop-old", is_flag=True, help="Remove the old index and unfinished migrations.")
@answer_option
@model_options
@index_option
def migrate(
    queries: Path | None,
    qrels: Path | None,
    anew: bool,
    drop_old: bool,
    format_: str,
    chosen: ModelOptions,
    index_path: Path,
) -> None:
    """Move the index to a different model or precision.

    Every text is encoded with the new model, the hits of some queries are compared, and the index is switched over.
    Options that are not given stay as they are in the index.

    The index can be searched and added to all the time. It does not change until the switch, and the old one is kept
    until --drop-old. Run an interrupted migration again to continue it. A file of queries has one a line, or is a
    .jsonl file with "text" and "_id"; without it, 50 stored texts are compared.

    \b
    Examples:
      vecindex migrate --model sentence-transformers/all-mpnet-base-v2
      vecindex migrate --precision int8
      vecindex migrate --model ./my-model --queries queries.jsonl --qrels qrels.tsv
      vecindex migrate --anew
      vecindex migrate --drop-old
    """
    from ...evaluate.judgements import read_qrels, read_queries
    from ...store.soundness.faults import command

    another = anew or bool(chosen.model or chosen.precision or chosen.dimensions)
    if not another and not drop_old:
        raise click.UsageError("Pass --model M, --precision or --dimensions; or --anew to encode again, or --drop-old.")
    if qrels is not None and queries is None:
        raise click.UsageError("--qrels refers to queries by name. Pass them with --queries FILE.jsonl.")
    asked = read_queries(queries) if queries else ()
    judged = read_qrels(qrels) if qrels else None
    done: dict[str, Any] = {}
    with ModelOptions(device=chosen.device, offline=chosen.offline).open(index_path, create=False) as index:
        if another:
            before = index.info().fingerprint
            try:
                with stopping_on_sigterm(), Progress("Encoding") as show:
                    report = index.migrate(
                        chosen.model,
                        precision=chosen.precision,
                        dimensions=chosen.dimensions,
                        queries=asked,
                        qrels=judged,
                        anew=anew,
                        progress=show,
                    )
            except KeyboardInterrupt as error:
                is_done = index.info().fingerprint != before
                said = " after the index was switched" if is_done else "" if anew else ": the index is unchanged"
                word, code = word_and_code(error)
                warn(f"{word}{said}; run it again to continue.")
                raise click.exceptions.Exit(code) from None
            if format_ == "text":
                _print(report, command(index_path, "migrate --drop-old"))
            done |= asdict(report)
        if drop_old:
            beside, given_back = index.info().beside, index.drop_old()
            done |= {"removed": beside, "bytes_given_back": given_back}
            if format_ == "text":
                for line in beside:
                    say(f"Removed: {printable(line)}.")
                say(f"{given_back:,} bytes freed.")
    if format_ == "json":
        emit(json_text(done), format_)


def _print(report: MigrationReport, drop_old: str) -> None:
    if report.kept is None:
        said = "nothing to do. --anew encodes its texts again anyway"
        say(f"The index already has {printable(report.after)}; {said}.")
        return
    emit(
        f"{counted(report.records, 'record')} from {printable(report.before)} to {printable(report.after)}; "
        f"{counted(report.encoded, 'text')} encoded by this run.\n",
        needed=False,
    )
    if report.unknown:
        texts = counted(report.unknown, "text")
        click.echo(f"Warning: the new model knows no token of {texts}; searches list them last.", err=True)
    if report.truncated:
        lost = counted(report.tokens_lost, "token")
        texts = counted(report.truncated, "text")
        warn(f"Warning: {texts} longer than the new model reads; {lost} ignored.")
    if report.overlap is not None:
        emit(f"Of the first 10 hits of {report.queries} sample queries, {report.overlap:.0%} stayed.\n", needed=False)
    for each in report.changed[:_CHANGED_SHOWN]:
        if each.left or each.came:
            left, came = (", ".join(map(printable, keys)) or "none" for keys in (each.left, each.came))
            query = printable(snippet(each.query, ""))
            emit(f"  {query}: {each.overlap:.0%} stayed; left: {left}; came: {came}\n", needed=False)
    if report.ndcg_before is not None and report.ndcg_after is not None:
        emit(f"nDCG@10 before {report.ndcg_before:.4f}, after {report.ndcg_after:.4f}.\n", needed=False)
    say(f"The old index is kept in {printable(report.kept)}; remove it with: {drop_old}")
