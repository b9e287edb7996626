"""Decides what a commit changes in what is stored, and keeps sources and documents in step."""
