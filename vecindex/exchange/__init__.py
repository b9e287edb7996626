"""Exports the records and vectors of an index to files of other programs, and reads such files."""
