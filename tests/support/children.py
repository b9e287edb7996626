"""Runs Python code in a child process."""

from __future__ import annotations

import os
import subprocess
import sys

from .places import PROJECT


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A real process; numpy's threads would only slow it down, and must not be there when it forks."""
    code = "import vecindex\nfrom tests.support.toy import ToyEncoder\n" + code
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=PROJECT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
    )


def output(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=600)  # some take a minute beside other work
    assert process.returncode == 0
    return text


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes, for a subprocess."""
    return {**os.environ, **changes}
