"""The nouns that go in and come out, and the checks of what is given: records, spaces, metadata, arguments."""
