"""How one ``add`` treats long texts, repeated keys and bad texts, and whom it tells about its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import TextTooLong, TextWithoutToken
from ...values.records import AddReport
from ...values.space import Space
from .long_texts import OnLong
from .repeats import OnDuplicate

Progress = Callable[[AddReport], None]
BadText = TextTooLong | TextWithoutToken
"""What is found out only when a text is encoded."""


@dataclass(frozen=True, slots=True)
class AddOptions:
    """The options of `Index.add`; see there."""

    space: str | Space | None = None
    on_long: OnLong = "truncate"
    on_duplicate: OnDuplicate = "error"
    progress: Progress | None = None
    on_bad: Callable[[BadText], None] | None = None


def told_both(committed: Callable[[], None], progress: Progress | None) -> Progress:
    """Calls both after each commit."""

    def after(report: AddReport) -> None:
        committed()
        if progress is not None:
            progress(report)

    return after
