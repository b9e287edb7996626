"""The texts of the index that the tests of the client ask a server for."""

from __future__ import annotations

TEXTS = [
    *("my name is Aun", "it rains today", "es regnet heute", "the name of the rose"),
    *("rain and snow", "a rose is a rose", "\N{SNOWMAN} line\nfeed", "error E-1042"),
]
