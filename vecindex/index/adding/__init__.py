"""How ``add`` works: reading files, keys, long texts, repeated keys, encoding and commits."""
