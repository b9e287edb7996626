"""The index on disk: an SQLite database that is the truth, and a file of vectors beside it."""
