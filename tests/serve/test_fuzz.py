"""Requests of all kinds, made from the OpenAPI, are answered as it is documented."""

from __future__ import annotations

import pytest

from . import fuzz


@pytest.mark.slow
@pytest.mark.skipif(fuzz.missing() is not None, reason=str(fuzz.missing()))
def test_whatever_is_asked_is_answered_as_documented(capfd: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--requests", "100"]) == 0, capfd.readouterr().out
