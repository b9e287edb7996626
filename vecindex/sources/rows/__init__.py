"""Readers of the formats with fields."""
