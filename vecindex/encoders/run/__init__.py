"""How do texts become vectors: tokens, a runtime for the transformer, pooling."""
