"""Reads HTML pages, and tells their main text from what is around it."""
