"""What do a model's files say: modules, settings, weights, and the embedding space that they define."""
