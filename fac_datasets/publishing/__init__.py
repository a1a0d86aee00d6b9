"""To the Hub: augmented datasets, SAEs, metrics and Spaces, each by one commit."""

from fac_datasets.publishing.data import publish
from fac_datasets.publishing.publication import Published
from fac_datasets.publishing.sae import publish_sae
from fac_datasets.publishing.spaces import publish_metrics, publish_space
from fac_datasets.publishing.target import HubTarget

__all__ = ["HubTarget", "Published", "publish", "publish_metrics", "publish_sae", "publish_space"]
