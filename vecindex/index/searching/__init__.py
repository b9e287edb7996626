"""The doing of searches, whose public methods are in `index.searcher`."""
