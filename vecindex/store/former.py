"""Under which keys did earlier versions store rows that were given none: by their text alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..nested import read_json
from ..records import as_read, derive_key
from .changes import Incoming
from .parts import common_metadata, owner_of
from .tables import Stored


def as_stored(
    incoming: Sequence[Incoming],
    find: Callable[[set[str]], Mapping[str, Stored]],
    parts_of: Callable[[set[str]], Iterable[Stored]] | None = None,
) -> Sequence[Incoming]:
    """The same, those that earlier versions stored under a key by their text alone under that key.

    They did so with every row that had no key; what such a row said is compared `as_read`. ``find`` and ``parts_of``
    find what is stored under keys, whole and in parts.
    """
    asked = {derive_key(item.text) for item in incoming if not item.named and item.metadata not in (None, "{}")}
    if not asked:
        return incoming
    said = {key: as_read(read_json(stored.metadata)) for key, stored in find(asked).items()}
    for part in parts_of(asked) if parts_of is not None else ():
        said.setdefault(str(owner_of(part)), as_read(common_metadata(part)))
    return [_under(derive_key(item.text), item, said) if not item.named else item for item in incoming]


def _under(former: str, item: Incoming, said: Mapping[str, str]) -> Incoming:
    is_stored = former in said and said[former] == as_read(read_json(item.metadata or "{}"))
    return replace(item, key=former) if is_stored else item
