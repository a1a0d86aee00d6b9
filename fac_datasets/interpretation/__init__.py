"""From feature columns to a table of features that people and generators can read."""
