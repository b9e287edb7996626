"""Where are the project's own files, and the data that lies beside a checkout and may be absent?"""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parents[2]
GOLDEN = PROJECT / "tests" / "golden"
SHARED = PROJECT.parent / "shared"
"""Not part of the project; a test that uses it is skipped, with a reason, where it is absent."""
