"""What a `KeySet` says it lacks."""

from __future__ import annotations

from vecindex.values.repeats import KeySet


def test_a_set_lacks_what_was_not_added_to_it() -> None:
    keys = KeySet()
    assert keys.lacks(["a", "b"]) == [True, True]
    for key in ("b", "c", "b"):
        keys.add(key)
    assert keys.lacks(["a", "b", "c", "d"]) == [True, False, False, True]
    keys.add("a")
    assert keys.lacks(["a", "b", "d"]) == [False, False, True]
    assert keys.lacks([]) == []
