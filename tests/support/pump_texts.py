"""A few texts that share words, by key, and a query with words of several of them."""

from __future__ import annotations

TEXTS = {
    "name": "my name is Aun",
    "rain": "it rains on the pump",
    "error": "error E-1042 in the pump",
    "otto": "the pump is named Otto",
    "again": "rain and rain again",
}
QUERY = "the pump rain"
