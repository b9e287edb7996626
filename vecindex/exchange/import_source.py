"""What a file to import holds once every row of it was checked, and which embedding space its vectors belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Advice, InvalidInput, SpaceMismatch
from ..values.space import Space

if TYPE_CHECKING:
    from .rows import Block


@dataclass(frozen=True)
class ImportSource:
    """A checked file or folder of ``count`` records with vectors of ``dimension`` numbers; see `checked_source`.

    The dimension is 0 if none of them has a vector.

    ``name`` is what errors call it. ``space`` is the embedding space that it names, or None. ``blocks`` reads it again,
    with all vectors at unit length.
    """

    name: str
    space: Space | None
    count: int
    dimension: int
    blocks: Callable[[], Iterator[Block]]

    def space_in(self, stored: Space | None, named: str | Space | None = None) -> Space | None:
        """The space to store the vectors under, in an index whose space is ``stored``.

        ``named`` is what the user says about it: a space, or a name of their own. None if there are no vectors. Raises
        InvalidInput, SpaceMismatch.
        """
        if not self.dimension:
            return None
        said = Space.external(named, self.dimension) if isinstance(named, str) else named
        found = self.space or said
        if found is None and stored is None:
            raise InvalidInput(
                f"{self.name} does not say what made its vectors",
                Advice(
                    "Pass a name of your own as space=; vectors under different names never mix.",
                    typed="Give a name of your own with --space NAME; vectors under different names never mix.",
                ),
            )
        if found is None and stored is not None:
            if not stored.is_external:
                raise SpaceMismatch(
                    *(stored.describe(), f"vectors of {self.name}, which does not say what made them"),
                    advice=Advice(
                        "Import them into a separate index, with space=.",
                        typed="Import them into a separate index, with --index DIR and --space NAME.",
                    ),
                )
            found = Space.external(stored.model, self.dimension)
        assert found is not None
        if said is not None and said.fingerprint != found.fingerprint:
            raise InvalidInput(
                f"{self.name} already says what made its vectors: {found.describe()}",
                Advice("Leave space= out.", typed="Leave --space out."),
            )
        if stored is not None and stored.fingerprint != found.fingerprint:
            raise SpaceMismatch(
                *(stored.describe(), found.describe(), stored.differences(found)),
                advice=Advice(
                    "Import it into a separate index.", typed="Import it into a separate index, with --index DIR."
                ),
            )
        return found
