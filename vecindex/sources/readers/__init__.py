"""One reader for each format that has fields."""
