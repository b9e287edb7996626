"""Writes the pages of the guide that are made from the code: ``python -m tests.guide.make_pages``."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

import vecindex
from vecindex.cli import main

from ..support.blocks import GUIDE

COMMAND = "python -m tests.guide.make_pages"
WIDTH = 100
_MADE = f"This page is made by `{COMMAND}`.\n"

_UPKEEP = (
    *(
        "index-field",
        "eval",
        "tune",
        "verify",
        "compact",
        "backup",
        "export",
        "import",
        "migrate",
        "selftest",
        "models",
    ),
    "completion",
)
_CLI = """# Command line

The commands for every day, with the help texts that `vecindex COMMAND --help` prints.

The others are in [cli-upkeep](cli-upkeep.md).
"""
_CLI_UPKEEP = """# Command line: upkeep

The commands for models, upkeep and exchange, with their help texts.

Those for every day are in [cli](cli.md).
"""
_PYTHON = """# Python API

Every public name of the package except the index, with its parameters, results and errors.

[python](python.md) is the tour, and [python-index](python-index.md) has the methods of an index.
Results are frozen dataclasses; their fields are the parameters shown here.
"""
_INDEX = """# Python API: the index

Every method of an open index, with its parameters, results and errors.

[python](python.md) is the tour, and [python-api](python-api.md) has the other names.
"""
_ENCODER = ("encode", "encode_tokens", "count_tokens", "token_spans", "space")
"""What a user needs of `vecindex.Encoder`; the rest serves the encoders themselves."""
_ITEM = re.compile(r"(\w+(?:, \w+)*)(: |\.$)")
"""What an item of a section begins with, or the names that are all of it."""


def cli_page() -> str:
    return _cli_page(_CLI, lambda name: name not in _UPKEEP)


def cli_upkeep_page() -> str:
    return _cli_page(_CLI_UPKEEP, lambda name: name in _UPKEEP)


def _cli_page(head: str, belongs: Callable[[str], bool]) -> str:
    commands = dict(_commands(main, "vecindex"))
    uses = Counter(key for command in commands.values() for param in command.params if (key := _help(command, param)))
    helps = Counter(option for option, _ in uses)
    shared = {key for key, count in uses.items() if count >= 4 and helps[key[0]] == 1}
    sections = [head, f"Options that many commands share are at the end. {_MADE}"]
    for name, command in commands.items():
        if not belongs([*name.split(), ""][1]):
            continue
        own = copy.copy(command)
        own.params = [param for param in command.params if _help(command, param) not in shared]
        own.add_help_option = False
        text = own.get_help(click.Context(own, info_name=name, terminal_width=WIDTH))
        names = [max(param.opts, key=len) for param in command.params if _help(command, param) in shared]
        sections.append(f"## {name}\n\n```\n{text}\n\nShared options: {', '.join([*names, '--help'])}\n```\n")
    formatter = click.HelpFormatter(width=WIDTH)
    formatter.write_dl(sorted(shared))
    sections.append(f"## Shared options\n\n```\n{formatter.getvalue()}```\n")
    return "\n".join(sections)


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _commands(inner, f"{name} {inner.name}")


def _help(command: click.Command, param: click.Parameter) -> tuple[str, str] | None:
    return param.get_help_record(click.Context(command, info_name="", terminal_width=WIDTH))


def python_page() -> str:
    named = {name: getattr(vecindex, name) for name in vecindex.__all__}
    classes = {name: each for name, each in named.items() if isinstance(each, type)}
    failures = {name: each for name, each in classes.items() if issubclass(each, (Exception, Warning))}
    results = sorted(classes.keys() - failures.keys() - {"Index", "Encoder", "ForeignEncoder"})
    sections = [_PYTHON, f"[troubleshooting](troubleshooting.md) explains the errors. {_MADE}", "## Functions\n"]
    sections += [_entry(f"vecindex.{name}", named[name]) for name in sorted(named.keys() - classes.keys())]
    sections.append(f"## Encoder\n\n{_text(vecindex.Encoder)}\n")
    sections += [_entry(f"encoder.{name}", each) for name, each in _members(vecindex.Encoder) if name in _ENCODER]
    sections.append(_entry("vecindex.ForeignEncoder", vecindex.ForeignEncoder))
    sections.append("## Records and results\n")
    sections += [_entry(f"vecindex.{name}", classes[name]) for name in results]
    sections.append("## Errors and warnings\n")
    sections.append("\n".join(f"- `{name}{_signature(each)}`" for name, each in failures.items()) + "\n")
    return "\n".join(sections)


def index_page() -> str:
    sections = [_INDEX, _MADE, f"{_text(vecindex.Index)}\n"]
    sections += [_entry(f"index.{name}", each).replace("### ", "## ", 1) for name, each in _members(vecindex.Index)]
    return "\n".join(sections)


def _members(kind: type) -> list[tuple[str, Any]]:
    """The public methods and properties of a class and its bases, the class's own first, in the order of the code."""
    found: dict[str, Any] = {}
    for base in kind.__mro__[:-1]:
        for name, each in vars(base).items():
            if not name.startswith("_") and (inspect.isfunction(each) or isinstance(each, property)):
                found.setdefault(name, each)
    annotated = [name for name in getattr(kind, "__annotations__", {}) if name == "space"]
    return [*found.items(), *((name, None) for name in annotated)]


def _entry(name: str, each: Any) -> str:
    if each is None:
        return f"### {name}\n\nThe embedding space of its vectors, with their `fingerprint`.\n"
    if isinstance(each, property):
        return f"### {name}\n\n{_text(each)}\n"
    signature = re.sub(r"\(self(, )?", "(", _signature(each))
    return f"### {name}\n\n`{name}{signature}`\n\n{_text(each)}\n"


def _signature(each: Any) -> str:
    """The parameters with their defaults, and what a function returns; the docstring says what each may be."""
    if each in (vecindex.VecindexError, vecindex.VecindexWarning):
        return ""  # the roots, which nobody makes
    signature = inspect.signature(each)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    returned = "" if isinstance(each, type) else f" -> {signature.return_annotation}"
    text = f"{signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)}{returned}"
    if dataclasses.is_dataclass(each):
        text = text.replace("<factory>", "...")
    return text


def _text(each: Any) -> str:
    """A docstring as Markdown: the items of its sections ("Args:") become lists."""
    lines: list[str] = []
    section = ""
    for line in (inspect.getdoc(each) or "").splitlines():
        words = line.strip()
        is_continued = line.startswith(" " * 8)
        if line in ("Args:", "Attributes:", "Raises:", "Returns:", "Warns:"):
            section = line
            lines.append("Arguments:" if line == "Args:" else line)
        elif section in ("", "Returns:") or is_continued or not _ITEM.match(words):
            lines.append(f"  {words}" if is_continued else words)
        else:
            lines.append("- " + _ITEM.sub(lambda match: f"`{match[1]}`{match[2]}", words, count=1))
    return "\n".join(lines).replace("``", "`")


PAGES: dict[Path, Callable[[], str]] = {
    GUIDE / "cli.md": cli_page,
    GUIDE / "cli-upkeep.md": cli_upkeep_page,
    GUIDE / "python-api.md": python_page,
    GUIDE / "python-index.md": index_page,
}


if __name__ == "__main__":
    for path, made in PAGES.items():
        path.write_text(made(), encoding="utf-8")
