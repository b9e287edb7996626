"""The way of an ``add`` into the index: texts, their keys, long ones, repeats, encoding and commits."""
