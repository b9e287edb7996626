"""Finds the sources in files, folders and archives."""

from __future__ import annotations

from .found import sources_in
from .skips import Reason, Skip, Skips

__all__ = ["Reason", "Skip", "Skips", "sources_in"]
