"""How do an index's records and vectors get into files of other programs, and back."""
