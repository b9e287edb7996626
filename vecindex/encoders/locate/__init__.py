"""Where are a model's files: a folder, the hub's local cache, or a download; and where is our own cache."""
