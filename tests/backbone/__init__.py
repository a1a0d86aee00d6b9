"""The backbone: what is read, and what is refused."""
