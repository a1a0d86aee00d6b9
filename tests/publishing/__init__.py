"""Publishing to the Hub, against a double of it on loopback."""
