"""How does a model get fast: exported to ONNX, rewritten, checked, and kept in the cache."""
