"""Every SQL statement: the schema, what reads it, what writes it, and upgrades of older formats."""
