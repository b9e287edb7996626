"""Drives the page as a person would, with the default model: python -m tests.serve.page.drive --screenshots DIR.

Prints each thing that it does and the time from the last key to the first answer on the screen. Stops at the first
thing that is not as it should be. Needs the extra page-test, and Chromium.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vecindex

from ...support.served import running
from . import flows
from .browser import PHONE, Tab, missing, started

_LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "device_scale_factor": 2, "has_touch": True},
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.serve.page.drive", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--screenshots", type=Path, metavar="DIR", help="where screenshots are put")
    folder = parser.parse_args(arguments).screenshots
    if (reason := missing()) is not None:
        sys.stderr.write(f"The page cannot be driven: {reason}\n")
        return 1
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "index"
        with vecindex.open(path) as index:
            flows.fill(index, Path(name))
        with running(path, "--read-only", toy=False) as server, started() as browser:
            drive(browser, server.url, folder)
    return 0


def drive(browser: Any, url: str, folder: Path | None) -> None:
    """Does everything, in light and dark and on a phone."""
    for look, options in _LOOKS.items():
        into = None if folder is None else folder / look
        if into is not None:
            into.mkdir(parents=True, exist_ok=True)
        for name, flow in {"fits": flows.fits}.items() if look == "phone" else flows.FLOWS.items():
            tab = Tab(browser, url, into, **options)
            flow(tab)
            tab.close()
            sys.stdout.write(f"{look}: {name}\n")
    tab = Tab(browser, url)
    times = flows.milliseconds(tab)
    tab.close()
    middle, longest = statistics.median(times), max(times)
    sys.stdout.write(f"last key to first answer, of {len(times)}: median {middle:.0f} ms, longest {longest:.0f} ms\n")


if __name__ == "__main__":
    sys.exit(main())
