"""The JSON that the server takes and gives, as models that check it and describe it in the OpenAPI."""
