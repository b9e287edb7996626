"""The second stage: orders the best hits of a first stage again, by looking at them more closely."""
