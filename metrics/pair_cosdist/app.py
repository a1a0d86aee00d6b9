"""The Space of the pair_cosdist metric."""

from fac_datasets.diversity import pair_cosdist
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="Pairwise cosine distance",
    explanation="The mean cosine distance between the embeddings (all-MiniLM-L6-v2) of all pairs of texts: 0 where "
    "all say the same.",
    measure=pair_cosdist,
    key="pair_cosdist",
)

if __name__ == "__main__":
    demo.launch()
