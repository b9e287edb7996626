"""The commands that serve an index to other programs until they are stopped."""
