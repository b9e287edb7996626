"""Without Haystack, the integration says what to install."""

from __future__ import annotations

import sys

import pytest

from vecindex import MissingExtra


def test_without_haystack_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("vecindex.integrations.haystack")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "haystack", None)
    with pytest.raises(MissingExtra, match=r"pip install 'vecindex\[haystack\]'"):
        import vecindex.integrations.haystack  # noqa: F401
