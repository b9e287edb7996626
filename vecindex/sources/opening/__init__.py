"""The way from what a user names to the bytes that a reader reads."""
