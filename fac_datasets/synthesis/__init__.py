"""Making the samples that a dataset is missing."""
