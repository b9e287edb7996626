"""Counts the cores that this process may use."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cores() -> int:
    """The number of cores that this process may run on, within the quotas of its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(quotas(), default=math.inf)
    return max(1, min(cores, math.ceil(quota))) if math.isfinite(quota) else cores


def quotas(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[float]:
    """The CPU quota, in cores, of each control group of this process that has one.

    ``own`` names the groups, one a line (see cgroups(7)): version 2 lists no controllers and has one tree, version 1
    has a tree for each controller. The limits of parent groups apply too. In a container the tree may begin at the
    container's own group.
    """
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = own.read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            top, limit = root, _limit_v2
        elif "cpu" in controllers.split(","):
            top, limit = root / "cpu", _limit_v1
        else:
            continue
        folder = top / group.lstrip("/")
        for each in (folder, *folder.parents):
            if each.is_relative_to(top):
                with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
                    yield from limit(each)


def _limit_v2(folder: Path) -> Iterator[float]:
    quota, period = (folder / "cpu.max").read_text().split()
    if quota != "max":
        yield int(quota) / int(period)


def _limit_v1(folder: Path) -> Iterator[float]:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    if quota > 0:
        yield quota / int((folder / "cpu.cfs_period_us").read_text())
