"""The nouns of the package (records, metadata, embedding spaces), and the checks of arguments."""
