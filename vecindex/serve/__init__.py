"""The REST server: an index for programs that are not written in Python, or run elsewhere.

Nothing of it is imported unless `vecindex serve` runs, as it needs the extra ``serve``.
"""
