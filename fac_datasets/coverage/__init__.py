"""Which of an anchor's features a dataset activates: mergeable state, report, intervals."""
