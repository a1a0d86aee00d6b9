"""Training: settings, objectives, the run, and its checkpoints."""
