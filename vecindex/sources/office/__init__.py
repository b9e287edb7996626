"""Readers of what office programs write: Word, PowerPoint, Excel and PDF."""
