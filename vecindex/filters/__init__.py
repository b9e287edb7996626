"""Filters on metadata: what one means, how it is written, and what it is in SQL."""
