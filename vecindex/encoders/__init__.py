"""From text to sentence vectors: specs, resolution, runtimes, pooling."""
