"""Why each hit of a search is where it is: its ranks on the way, and what its scores are made of."""
