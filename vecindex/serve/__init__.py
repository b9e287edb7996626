"""Serves an index to other machines and programs."""
