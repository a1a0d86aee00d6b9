"""The Space of the near_duplicate_rate metric."""

from fac_datasets.diversity import near_duplicate_rate
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="Near-duplicate rate",
    explanation="The share of texts that nearly repeat another one, by MinHash of their five-word shingles.",
    measure=near_duplicate_rate,
    key="near_duplicate_rate",
)

if __name__ == "__main__":
    demo.launch()
