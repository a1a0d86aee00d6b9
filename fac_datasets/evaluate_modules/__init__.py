"""What makes the modules under `metrics/` metrics of `evaluate`."""
