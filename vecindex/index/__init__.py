"""The public API of an index: adding, searching, changing the model, and upkeep."""
