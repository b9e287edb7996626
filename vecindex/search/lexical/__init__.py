"""Lexical search: BM25 over postings of our own; arrays only, no SQL and no index folder."""
