"""From a query vector to the nearest records."""
