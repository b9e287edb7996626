"""Describes what computes here: library versions and processor instructions, which may change a vector's last digits.

It is stored beside the vectors in an index, so that a different machine notices the difference and can check.
"""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

# x86: VNNI, in 512 or 256 bits. ARM: the dot product instructions (SDOT, UDOT).
_EXACT_INT8 = {"avx512_vnni", "avx_vnni", "asimddp"}
_TELLING = re.compile(r"avx|amx|fma|asimd|sve|sme|i8mm|bf16|vnni")


@cache
def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's vector instruction sets by their Linux names; empty if the system does not list them."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:  # the first processor stands for all, and the other lines are not read
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return frozenset(filter(_TELLING.match, value.split()))
    except OSError:
        pass
    return frozenset()


def has_exact_int8() -> bool:
    """Whether the processor sums products of 8-bit numbers in 32 bits; False if that is unknown.

    Otherwise the fast x86 instructions add two products in 16 bits, which overflow unless one factor has only 7 bits.
    """
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return True  # all of Apple's processors have them
    return not _EXACT_INT8.isdisjoint(instructions())


def environment(runtime: str, **versions: str) -> dict[str, str]:
    """The runtime, the ``versions`` of its libraries, and the processor."""
    return {
        "runtime": runtime,
        **versions,
        "machine": platform.machine(),
        "instructions": " ".join(sorted(instructions())),
    }
