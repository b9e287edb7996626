"""``vecindex watch``: adds the files in folders, and keeps the index up to date as they change."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import IndexLocked, InvalidInput, SourceError, VecindexError
from ..file_options import FileOptions, FilesCommand, file_options
from ..interrupts import stopping_on_sigterm
from ..options import ExpandedPath, ModelOptions, index_option, model_options, report_option
from ..output import emit, say, warn
from ..render.results import added_line, counted, gone_line, json_line, printable, sources_line

if TYPE_CHECKING:
    from ...index.facade import Index


@click.command(cls=FilesCommand)
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=ExpandedPath())
@file_options
@report_option
@model_options
@index_option
def watch(folders: Sequence[str], files: FileOptions, report_as: str, chosen: ModelOptions, index_path: Path) -> None:
    """Add the files in each DIR, and again when they change.

    This is `vecindex add DIR --skip-bad`, run again when files in DIR are written, moved or deleted. Changes in quick
    succession lead to one run. A bad row or file is named, and left out until it is corrected. The records of deleted
    files are kept, unless --prune is given.

    It runs until Ctrl-C, and needs the extra watch: pip install 'vecindex[watch]'

    \b
    Examples:
      vecindex watch docs
      vecindex watch notes mail --prune --index all.vecindex
      vecindex watch docs --include "*.md" --report json
    """
    from ...machine.watch import watch as watch_folders
    from ...store.sql.schema import index_exists

    for folder in folders:
        if not os.path.isdir(folder):
            what = "is a file" if os.path.exists(folder) else "does not exist"
            raise click.UsageError(f"Directory {folder!r} {what}.")
    real = [os.path.realpath(folder) for folder in folders]
    with stopping_on_sigterm(), ExitStack() as stack:
        # The model is loaded before an empty index is created, so that one that cannot be loaded leaves nothing.
        encoder = None if index_exists(index_path) or not files.encode else chosen.encoder()
        index = stack.enter_context(chosen.open(index_path, encoder=encoder))
        say(f"Watching {printable(', '.join(folders))}; Ctrl-C stops.")
        watch_folders(real, _Following(index, real, files, report_as), _ignored_by(real, os.path.realpath(index_path)))


class _Following:
    """What is done after each change: adds the files in those folders that exist, and reports what is new."""

    def __init__(self, index: Index, folders: Sequence[str], files: FileOptions, report_as: str) -> None:
        self._index = index
        self._folders = folders
        self._files = files
        self._report_as = report_as
        self._told: Collection[str] = ()
        self._telling: list[str] = []

    def __call__(self, present: Sequence[str]) -> bool:
        """Returns False to be called again soon."""
        self._telling = []
        for folder in self._folders:
            if folder not in present:
                self._tell(
                    f"Warning: {folder} is gone. Its records are kept, and it is watched again if it comes back."
                )
        try:
            if present:
                self._add(present)
            return True
        except IndexLocked as error:
            self._tell_error(error)
            return False
        except (SourceError, InvalidInput) as error:
            self._tell_error(error)  # the next change may correct it
            return True
        finally:
            self._told = self._telling

    def _add(self, present: Sequence[str]) -> None:
        from ...index.followed import follow_files

        index, path = self._index, self._index.path
        sources = self._files.sources(present, path, offline=True, on_bad=self._tell_bad)
        with closing(self._files.input((), sources, present, path)) as rows:
            follow_files(index, rows)
            rows.check(self._tell_bad, lambda _: None)
            report = index.add_files(rows, on_bad=self._tell_bad)
        if gone := () if self._files.prune else report.gone:
            self._tell(f"Warning: {gone_line(gone)}")
        if not (report.read or report.moved or report.removed):
            return
        if self._report_as == "json":
            counts = {name: value for name, value in asdict(report).items() if name != "written"}
            emit(json_line({"index": str(path), "records": len(index), **counts}) + "\n", "json")
        else:
            holds = f"{printable(str(path))} holds {counted(len(index), 'record')}"
            say(f"{added_line(report)}{sources_line(report)}; {holds}.")

    def _tell_bad(self, error: VecindexError) -> None:
        self._tell(f"Skipped: {error.message}")

    def _tell_error(self, error: VecindexError) -> None:
        self._tell(f"Error: {error.message}", error.command_advice)

    def _tell(self, message: str, advice: str = "") -> None:
        """Prints a message, unless the previous run printed it too."""
        self._telling.append(message)
        if message not in self._told:
            warn(printable(message) + (f"\n{printable(advice)}" if advice else ""))


def _ignored_by(folders: Sequence[str], index: str) -> Callable[[str], bool]:
    """A test for paths whose changes do not matter: those of the index, and of hidden files and folders."""
    from ...sources.locations import is_within

    def is_ignored(path: str) -> bool:
        if is_within(path, index):
            return True
        folder = max((each for each in folders if is_within(path, each)), key=len, default="")
        names = Path(path.removeprefix(folder)).parts
        return any(name.startswith(".") and name != ".gitignore" for name in names)

    return is_ignored
