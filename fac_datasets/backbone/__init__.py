"""The language model that is read: rendering, windows, batches, the residual stream."""
