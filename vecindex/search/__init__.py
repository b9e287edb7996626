"""Finds the records nearest to a query vector."""
