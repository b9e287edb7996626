"""Is the index sound, and how is it repaired?"""
