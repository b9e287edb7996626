"""``delete``, ``info``, ``verify``, ``index-field`` and its like, ``encode-missing`` and ``compact``: upkeep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ..options import (
    ModelOptions,
    answer_option,
    format_option,
    index_option,
    model_options,
    open_for_reading,
    where_option,
)
from ..output import answer, emit, warn
from ..progress import Progress
from ..render.results import compact_line, counted, encoded_line, info_as, printable, tokens_line, verified_as


@click.command()
@click.argument("keys", nargs=-1, metavar="KEY...")
@where_option
@click.option(
    "--source",
    metavar="PATH",
    help="Delete all records of a file that was added, or of everything in a folder or an archive.",
)
@answer_option
@index_option
def delete(keys: Sequence[str], where: str | None, source: str | None, format_: str, index_path: Path) -> None:
    """Delete records by KEY, by --where or by --source.

    If one of the keys is unknown, nothing is deleted.

    The file or folder of a --source need not be there any more. A URL, or the label of anything else that was added,
    is written as `vecindex sources` lists it. A record that another source has too stays.

    \b
    Examples:
      vecindex delete cooking-001 cooking-002
      vecindex delete --where "year < 2020"
      vecindex delete --source docs/old
    """
    if bool(keys) + (where is not None) + (source is not None) != 1:
        raise click.UsageError("Pass either the keys of records, --where or --source.")
    from ...index.facade import open as open_index

    with open_index(index_path, create=False) as index:
        deleted = index.delete(keys or None, where=where, source=source)
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
    """Print the number of records, the model, the size and more.

    \b
    Example:
      vecindex info --format json
    """
    with open_for_reading(index_path) as index:
        emit(info_as(format_, index.info()), format_)


@click.command()
@click.option("--repair", is_flag=True, help="Repair what can be restored from the rest of the index.")
@click.option("--encode", is_flag=True, help="With --repair, encode the texts again if their vectors are lost.")
@format_option("text", "json")
@index_option
def verify(repair: bool, encode: bool, format_: str, index_path: Path) -> None:
    """Check the whole index; exit with 1 if anything is wrong.

    Each fault is printed with the command that repairs it.

    \b
    Examples:
      vecindex verify --index notes.vecindex
      vecindex verify --repair
      vecindex verify --repair --encode
      vecindex verify --format json | jq .ok
    """
    if encode and not repair:
        raise click.UsageError("--encode needs --repair.")
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
    """Make filters on a metadata FIELD fast.

    Builds an SQL index for each field, which covers the stored records and all later ones.

    \b
    Examples:
      vecindex index-field year
      vecindex index-field lang author.name
    """
    from ...index.facade import open as open_index

    with open_index(index_path, create=False) as index:
        made = {field: index.index_field(field) for field in fields}
    said = {True: "is indexed now", False: "was indexed already"}
    answer(
        format_,
        {"fields": [{"field": field, "new": new} for field, new in made.items()]},
        "\n".join(f"{printable(field)} {said[new]}." for field, new in made.items()),
    )


def _weights(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for value in values:
        name, equals, weight = value.rpartition("=")
        if not equals:
            name, weight = value, "1"
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice.", ctx, param)
        try:
            found[name] = float(weight)
        except ValueError:
            raise click.BadParameter(f"{weight!r} is not a number; write title=2 for example.", ctx, param) from None
    return found


@click.command("index-lexical")
@click.option(
    "--language",
    default="english",
    show_default=True,
    metavar="NAME",
    help="The language of the texts, such as german; none compares words as they are, apart from case.",
)
@click.option(
    "--field",
    "fields",
    multiple=True,
    callback=_weights,
    metavar="NAME[=WEIGHT]",
    help="Also read the words of this metadata field; each counts as WEIGHT words of the text.",
)
@answer_option
@index_option
def index_lexical(language: str, fields: Mapping[str, float], format_: str, index_path: Path) -> None:
    """Choose how lexical search reads and compares words.

    Words are reduced to their stems, so that a search for "raining" finds "rain". The stems of a new index are English,
    and it reads the texts alone. Fields that are not named any more are read no longer.

    \b
    Examples:
      vecindex index-lexical --language german
      vecindex index-lexical --language none
      vecindex index-lexical --field title=2 --field author
    """
    from ...index.facade import open as open_index

    with open_index(index_path, create=False) as index:
        new = index.index_lexical(language=language, fields=fields)
    said = "are compared as they are" if language == "none" else f"are compared by their {language} stems"
    said += f", those of {', '.join(map(printable, fields))} too" if fields else ""
    facts = {"language": language, "fields": fields, "new": new}
    answer(format_, facts, f"Words {said}{' now' if new else ', as before'}.")


@click.command("index-tokens")
@click.option("--remove", is_flag=True, help="Remove the stored token vectors, and store none any more.")
@answer_option
@model_options
@index_option
def index_tokens(remove: bool, format_: str, chosen: ModelOptions, index_path: Path) -> None:
    """Store token vectors, so that --rerank tokens is fast.

    Encodes the texts of all records, and keeps the vector of each token, with two bits a number. A search with --rerank
    tokens then takes milliseconds, instead of encoding 100 texts.

    From then on, `vecindex add` keeps the token vectors of the texts that it encodes, and makes up for at most 4,096
    others, of records that came with vectors, or whose file was lost. Run the command again to make up for all, and
    after `vecindex migrate`. Interrupted, it keeps what it made, and goes on when it is run again.

    \b
    Examples:
      vecindex index-tokens
      vecindex index-tokens --remove
    """
    with chosen.open(index_path, create=False) as index:
        if remove:
            removed = index.drop_tokens()
            said = "Token vectors removed." if removed else "There are no token vectors."
            answer(format_, {"removed": removed}, said)
            return
        with Progress("Encoding") as show:
            report = index.index_tokens(progress=show)
    answer(format_, asdict(report), tokens_line(report))


@click.command("encode-missing")
@answer_option
@model_options
@index_option
def encode_missing(format_: str, chosen: ModelOptions, index_path: Path) -> None:
    """Encode the records that have no vector.

    These are what `vecindex add --no-encode` stored. They get their vectors from the index's model, or from --model if
    no record has one yet. Interrupted, the command keeps what it encoded, and goes on when it is run again.

    \b
    Examples:
      vecindex encode-missing
      vecindex encode-missing --model sentence-transformers/all-MiniLM-L6-v2
    """
    with chosen.open(index_path, create=False) as index:
        with Progress("Encoding") as show:
            report = index.encode_missing(progress=show)
        held = len(index)
    answer(format_, {**asdict(report), "path": str(index_path), "records": held}, encoded_line(report))
    if report.truncated:
        warn(
            f"Warning: {counted(report.truncated, 'text')} {'is' if report.truncated == 1 else 'are'} longer than the "
            f"model reads; {counted(report.tokens_lost, 'token')} "
            f"{'was' if report.tokens_lost == 1 else 'were'} ignored."
        )


@click.command()
@click.option("--cache", is_flag=True, help="Also empty the cache of texts that were encoded before.")
@answer_option
@index_option
def compact(cache: bool, format_: str, index_path: Path) -> None:
    """Free the space of deleted and replaced records.

    The index can be searched while this runs.

    \b
    Examples:
      vecindex compact
      vecindex compact --cache
    """
    from ...index.facade import open as open_index

    with open_index(index_path, create=False) as index:
        report = index.compact(cache=cache)
    answer(format_, asdict(report), compact_line(report))
