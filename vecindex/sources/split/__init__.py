"""Cuts a document into pieces, such as sentences, that know which characters of its text they are."""
