"""Reads a model's files: its modules, settings and weights, and the embedding space that they define."""
