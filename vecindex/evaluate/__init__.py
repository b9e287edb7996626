"""Measures how good the answers of an index are: with judgements, with known items, and run against run."""
