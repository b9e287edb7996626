"""The public API of an index, and what it delegates to: adding, answering, changing the model, keeping in order."""
