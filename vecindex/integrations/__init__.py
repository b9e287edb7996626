"""Vecindex behind the interfaces that other programs expect, each in a folder of its own."""
