"""Formats results as text, JSON and CSV."""
