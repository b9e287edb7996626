"""Turns texts into vectors: tokens, a runtime for the transformer, pooling."""
