"""What was held against SimpleVectorStore and agreed; the summary of a run prints how much."""

from __future__ import annotations

OPERATORS, CONDITIONS, MODES = 14, 4, 2
"""How many there are: operators; and, or, not and nested filters; and modes that SimpleVectorStore has."""
AGREEING: set[tuple[str, str]] = set()


def agrees(kind: str, name: str) -> None:
    """Notes that a test found no difference for this operator, condition or mode."""
    AGREEING.add((kind, name))


def summary() -> str | None:
    """The counts in a line; None if nothing was compared."""
    if not AGREEING:
        return None
    counts = {kind: sum(each == kind for each, _ in AGREEING) for kind in ("operator", "condition", "mode")}
    return (
        f"LlamaIndex: {counts['operator']} of {OPERATORS} operators, {counts['condition']} of {CONDITIONS} conditions "
        f"and {counts['mode']} of {MODES} modes agree with SimpleVectorStore"
    )
