"""The command ``vecindex`` with the toy encoder as its model, in a process of its own: ``TOY`` and its arguments.

TOY_SECONDS is how long each call of the model takes, so that a test can end a process while it encodes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vecindex.encoders.load
import vecindex.index.model
from vecindex.cli import main

from .places import PROJECT
from .toy import ToyEncoder

TOY = (sys.executable, "-m", "tests.support.toy_command")


class SlowToy(ToyEncoder):
    """One that takes its time."""

    def forward(self, input_ids: Any, attention_mask: Any) -> npt.NDArray[np.float32]:
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        return super().forward(input_ids, attention_mask)


def started(folder: Path, *arguments: object, seconds: float = 0) -> subprocess.Popen[str]:
    """The command, begun in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TOY_SECONDS": str(seconds)}
    return subprocess.Popen(
        [*TOY, *map(str, arguments)],
        cwd=folder,
        env={**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def _toy(*_: Any, **__: Any) -> ToyEncoder:
    return SlowToy()


if __name__ == "__main__":
    # A process started in the background of a shell ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module, name in (
        (vecindex.encoders.load, "load_encoder"),
        (vecindex.index.model, "load_model"),
        (vecindex.index.model, "load_for_space"),
    ):
        setattr(module, name, _toy)
    main(prog_name="vecindex")
