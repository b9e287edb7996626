"""The options of one ``add``: how texts and files are treated, and who is told of its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ...errors import Advice, InvalidInput, TextTooLong, TextWithoutToken
from ...values.records import AddReport, Metadata
from ...values.space import Space
from .long_texts import OnLong
from .repeats import OnDuplicate

if TYPE_CHECKING:
    from ...encoders.run.encoder import Encoder
    from ...encoders.run.tokenized import FloatArray, Tokens
    from ...sources.split.method import Split

Progress = Callable[[AddReport], None]
BadText = TextTooLong | TextWithoutToken
"""What is found out only when a text is encoded."""


KeepTokens: TypeAlias = "Callable[[Encoder, str, Tokens, FloatArray], None]"
"""Called with each text that is encoded, its tokens and their last hidden states (T, D), in any thread."""


@dataclass(frozen=True, slots=True)
class AddOptions:
    """The options of `Index.add`; see there."""

    space: str | Space | None = None
    on_long: OnLong = "truncate"
    on_duplicate: OnDuplicate = "error"
    progress: Progress | None = None
    on_bad: Callable[[BadText], None] | None = None
    keep_tokens: KeepTokens | None = None
    encode: bool = True
    """False stores records without a vector, unless one is given."""


@dataclass(frozen=True, slots=True)
class FilesOptions:
    """The options of `Index.add_files`; see there. ``add`` are those of what is added in the end."""

    split: Split | None = None
    join_short: int = 0
    metadata: Metadata | None = None
    prune: bool = False
    add: AddOptions = field(default_factory=AddOptions)


def check_encoded(options: AddOptions) -> None:
    """Raises InvalidInput if it is said how texts are encoded, but none is."""
    if options.on_long != "truncate" and not options.encode:
        raise InvalidInput(
            "on_long= says how texts are encoded, but nothing is",
            Advice("Leave it out.", typed="Leave --on-long or --no-encode out."),
        )


def told_both(committed: Callable[[], None], progress: Progress | None) -> Progress:
    """Calls both after each commit."""

    def after(report: AddReport) -> None:
        committed()
        if progress is not None:
            progress(report)

    return after
