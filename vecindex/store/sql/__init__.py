"""Every SQL statement: the tables, what reads them, what changes them, and upgrades of older formats."""
