"""The index on disk: a SQLite database that is the truth, and a file of vectors beside it."""
