"""How results look. Strings in, strings out; nothing is printed here."""
