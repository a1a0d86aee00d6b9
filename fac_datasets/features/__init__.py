"""From rows to feature columns: in `datasets.map`, as a resumable job, on a Ray cluster."""
