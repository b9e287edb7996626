"""Reads the code blocks of README and the guide, and runs them as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .places import PROJECT

README = PROJECT / "README.md"
GUIDE = PROJECT / "vecindex" / "guide"

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"[|<>;$*`]|&&|^\w+=")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and its text without the fence's indentation."""

    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command of a console block, and the lines of output that the page shows below it."""

    line: str
    shown: tuple[str, ...]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(match["language"], text))
    return [block for block in found if language in (None, block.language)]


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], ()))
        else:
            found[-1] = Command(found[-1].line, (*found[-1].shown, line))
    return found


def put_command_into(folder: Path) -> Path:
    """Makes a folder, to be put first on PATH, whose ``vecindex`` and ``python`` are those under test.

    The command has this process's cache even where a client of MCP starts it, which hands on little of its environment.
    """
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    script = folder / "vecindex"
    script.write_text(
        f"#!/bin/sh\nexport VECINDEX_CACHE='{os.environ['VECINDEX_CACHE']}' PYTHONPATH='{PROJECT}'\n"
        f"exec '{sys.executable}' -c 'from vecindex.cli import main; main()' \"$@\"\n"
    )
    script.chmod(0o755)
    return folder


def run_command(line: str) -> str:
    """Runs a command line in the current directory and returns its standard output; one that fails is an error.

    A plain call of vecindex runs in this process, which saves its start; everything else runs in bash.
    """
    if line.startswith("vecindex ") and not _SHELL.search(line) and "selftest" not in line:  # that forks
        status, out, err = run(*shlex.split(line, comments=True)[1:])
        assert status == 0, f"{line}\n{err}"
        return out
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stdout
