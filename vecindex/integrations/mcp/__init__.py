"""The server that agents search and change an index through, by the Model Context Protocol (MCP)."""
