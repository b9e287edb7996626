"""What computes here: the libraries' versions and its instructions, which may change last digits.

Kept beside the vectors in an index, so that another machine can see that it is another, and look.
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
    """The processor's instruction sets for arithmetic on vectors, as Linux names them; empty where it does not say."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:  # the first processor speaks for all; the others' lines are not made
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return frozenset(filter(_TELLING.match, value.split()))
    except OSError:
        pass
    return frozenset()


def has_exact_int8() -> bool:
    """Whether the processor sums products of 8-bit numbers in 32 bits; False where it is not known.

    Without that, the fast instructions of x86 add two products in 16 bits, which overflow unless one factor has 7.
    """
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return True  # every one that Apple made has them
    return not _EXACT_INT8.isdisjoint(instructions())


def environment(runtime: str, **versions: str) -> dict[str, str]:
    """The runtime with its libraries' ``versions``, and the processor."""
    return {
        "runtime": runtime,
        **versions,
        "machine": platform.machine(),
        "instructions": " ".join(sorted(instructions())),
    }
