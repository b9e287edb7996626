"""Encoding on a GPU: the runtime, its memory and transfers, and tokenizing fast enough for it."""
