"""``vecindex delete``, ``info``, ``verify`` and ``compact``: looking after an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ..options import answer_option, format_option, index_option, open_for_reading, where_option
from ..output import answer, emit
from ..render.results import compact_line, counted, info_as, printable, verified_as


@click.command()
@click.argument("keys", nargs=-1, metavar="KEY...")
@where_option
@answer_option
@index_option
def delete(keys: Sequence[str], where: str | None, format_: str, index_path: Path) -> None:
    """Delete the records named KEY, all of them or none if one is unknown; or those that --where selects.

    \b
    Examples:
      vecindex delete cooking-001 cooking-002
      vecindex delete --where "year < 2020"
    """
    if bool(keys) == (where is not None):
        raise click.UsageError("Name the keys of records, or give --where; one of them.")
    from ...index.facade import open as open_index

    with open_index(index_path, create=False) as index:
        deleted = index.delete(where=where) if where is not None else index.delete(keys)
        held = len(index)
    answer(
        format_,
        {"deleted": deleted, "path": str(index_path), "records": held},
        f"{deleted} deleted; {printable(str(index_path))} holds {counted(held, 'record')}.",
    )


@click.command()
@format_option("text", "json")
@index_option
def info(format_: str, index_path: Path) -> None:
    """Print what the index holds: records, model, embedding space, size.

    \b
    Example:
      vecindex info --format json
    """
    with open_for_reading(index_path) as index:
        emit(info_as(format_, index.info()), format_)


@click.command()
@click.option("--repair", is_flag=True, help="Make right again what can be, from what is sound.")
@click.option("--encode", is_flag=True, help="With --repair: encode texts again whose file of vectors is lost.")
@format_option("text", "json")
@index_option
def verify(repair: bool, encode: bool, format_: str, index_path: Path) -> None:
    """Check every invariant of what is stored; exit 1 if anything is wrong.

    Each fault is printed with what repairs it.

    \b
    Examples:
      vecindex verify --index notes.vecindex
      vecindex verify --repair
      vecindex verify --repair --encode
      vecindex verify --format json | jq .ok
    """
    if encode and not repair:
        raise click.UsageError("--encode goes with --repair.")
    from ...index.facade import open as open_index
    from ...store.soundness.verify import examining

    with examining(), open_index(index_path, create=False) if repair else open_for_reading(index_path) as index:
        report = index.repair(encode=encode) if repair else index.verify()
    emit(verified_as(format_, report), format_, needed=False)
    if not report.ok:
        raise click.exceptions.Exit(1)


@click.command("index-field")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD...")
@answer_option
@index_option
def index_field(fields: Sequence[str], format_: str, index_path: Path) -> None:
    """Make filters on the metadata FIELD fast, for what is stored and for what comes; an SQL index each.

    \b
    Examples:
      vecindex index-field year
      vecindex index-field lang author.name
    """
    from ...index.facade import open as open_index

    with open_index(index_path, create=False) as index:
        made = {field: index.index_field(field) for field in fields}
    said = {True: "has an index now", False: "had an index already"}
    answer(
        format_,
        {"fields": [{"field": field, "new": new} for field, new in made.items()]},
        "\n".join(f"{printable(field)} {said[new]}." for field, new in made.items()),
    )


@click.command()
@click.option("--cache", is_flag=True, help="Also forget which texts were encoded already, and give that space back.")
@answer_option
@index_option
def compact(cache: bool, format_: str, index_path: Path) -> None:
    """Give the space of deleted and replaced records back; searches go on meanwhile.

    \b
    Examples:
      vecindex compact
      vecindex compact --cache
    """
    from ...index.facade import open as open_index

    with open_index(index_path, create=False) as index:
        report = index.compact(cache=cache)
    answer(format_, asdict(report), compact_line(report))
