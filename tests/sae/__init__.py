"""Sparse autoencoders: loading, calibration, use."""
