"""The Space of the distinct_n metric."""

from fac_datasets.diversity import distinct_n
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="Distinct-n",
    explanation="Different n-grams over n-grams: 1 where none repeats. It falls as texts get longer or more. The "
    "adjusted variant divides by the number expected of random draws from 30,522 tokens.",
    measure=distinct_n,
    key="distinct_2",
)

if __name__ == "__main__":
    demo.launch()
