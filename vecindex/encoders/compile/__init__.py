"""Makes a model fast: exports it to ONNX, rewrites the graph, checks it, and keeps it in the cache."""
