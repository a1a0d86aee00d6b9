"""The Space of the semantic_entropy metric."""

from fac_datasets.diversity import semantic_entropy
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="Semantic entropy",
    explanation="How evenly texts spread over clusters of their embeddings (all-MiniLM-L6-v2), in bits. The "
    "clusters are those of k-means, with k = 10, or as many as there are texts where these are fewer.",
    measure=lambda texts: semantic_entropy(texts, k=min(10, len(texts))),
    key="semantic_entropy",
)

if __name__ == "__main__":
    demo.launch()
