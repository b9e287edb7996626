"""Finds a model's files, and keeps vecindex's own cache."""
