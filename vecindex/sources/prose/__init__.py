"""Readers of longer texts: each yields a `Document` with a block for every paragraph, heading or list item."""
