"""Sparse autoencoders: architectures, formats, training, calibration, evaluation."""
