"""Pages of hits: what a cursor holds, and how a search goes on where a page ended."""
