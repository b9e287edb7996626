"""Filters on metadata: how they are written, what they mean, and their SQL."""
