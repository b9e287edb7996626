"""The number of cores follows from the affinity of the process and from its control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vecindex.machine import cores
from vecindex.machine.cores import available_cores, quotas


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"cpu.{name}").write_text(text)


def test_limits_of_parent_groups_apply_in_version_2(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/user.slice/job.scope\n")
    write(tmp_path / "root", max="max 100000\n")
    write(tmp_path / "root" / "user.slice", max="150000 100000\n")
    write(tmp_path / "root" / "user.slice" / "job.scope", max="400000 100000\n")
    write(tmp_path / "root" / "other.slice", max="1000 100000\n")
    assert list(quotas(tmp_path / "own", tmp_path / "root")) == [4.0, 1.5]


def test_version_1_limits_are_read_from_the_tree_of_the_cpu_controller(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("5:memory:/a\n4:cpu,cpuacct:/a\n1:name=systemd:/a\n")
    write(tmp_path / "root" / "cpu", cfs_quota_us="-1", cfs_period_us="100000")
    write(tmp_path / "root" / "cpu" / "a", cfs_quota_us="50000", cfs_period_us="100000")
    assert list(quotas(tmp_path / "own", tmp_path / "root")) == [0.5]


def test_the_tree_of_a_container_may_begin_at_its_own_group(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/../../docker/1234\n")
    write(tmp_path / "root", max="200000 100000\n")
    assert list(quotas(tmp_path / "own", tmp_path / "root"))[-1] == 2.0


@pytest.mark.parametrize("limit", ["", "max", "x y", "100000 0"])
def test_an_invalid_limit_is_ignored(tmp_path: Path, limit: str) -> None:
    (tmp_path / "own").write_text("0::/\n")
    write(tmp_path / "root", max=limit)
    assert list(quotas(tmp_path / "own", tmp_path / "root")) == []
    assert list(quotas(tmp_path / "missing", tmp_path / "root")) == []


@pytest.mark.parametrize(("quota", "expected"), [(0.2, 1), (1.5, 2), (2.0, 2), (64.0, 3)])
def test_a_quota_is_rounded_up_and_capped_at_the_available_cores(
    monkeypatch: pytest.MonkeyPatch, quota: float, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(cores, "quotas", lambda: [quota])
    assert available_cores() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_with_an_affinity_of_one_core_uses_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from vecindex.machine.cores import available_cores; print(available_cores())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
