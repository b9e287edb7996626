"""``vecindex delete``, ``info``, ``verify`` and ``compact``: looking after an index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..render import compact_line, counted, info_as, printable, verify_lines
from .options import format_option, index_option, open_for_reading


@click.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@index_option
def delete(keys: Sequence[str], index_path: Path) -> None:
    """Delete the records named KEY: all of them, or none if one is unknown.

    \b
    Example:
      vecindex delete cooking-001 cooking-002
    """
    from ..index import open as open_index

    with open_index(index_path, create=False) as index:
        deleted = index.delete(keys)
        click.echo(f"{deleted} deleted; {printable(str(index_path))} holds {counted(len(index), 'record')}.", err=True)


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
        click.echo(info_as(format_, index.info()), nl=False)


@click.command()
@index_option
def verify(index_path: Path) -> None:
    """Check every invariant of what is stored; exit 1 if anything is wrong.

    \b
    Example:
      vecindex verify --index notes.vecindex
    """
    with open_for_reading(index_path) as index:
        report = index.verify()
    click.echo(verify_lines(report), nl=False)
    if not report.ok:
        raise click.exceptions.Exit(1)


@click.command()
@index_option
def compact(index_path: Path) -> None:
    """Give the space of deleted and replaced records back; searches go on meanwhile.

    \b
    Example:
      vecindex compact
    """
    from ..index import open as open_index

    with open_index(index_path, create=False) as index:
        click.echo(compact_line(index.compact()), err=True)
