"""Formats in which SAEs are stored."""
