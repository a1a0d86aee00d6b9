"""A real Argilla server for tests: its own environment, SQLite, Redis on loopback, and a small search engine."""
