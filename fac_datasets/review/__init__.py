"""Human review in Argilla: of feature explanations, and of synthetic samples."""

from __future__ import annotations

from fac_datasets.review.agreement import Agreement, ReviewSummary, summary
from fac_datasets.review.explanations import pull_explanations, push_explanations
from fac_datasets.review.records import PushReport
from fac_datasets.review.samples import pull_samples, push_samples

__all__ = [
    "Agreement",
    "PushReport",
    "ReviewSummary",
    "pull_explanations",
    "pull_samples",
    "push_explanations",
    "push_samples",
    "summary",
]
