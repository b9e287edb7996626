"""How do bytes become durable: every call that changes a file, and the connection to SQLite."""
