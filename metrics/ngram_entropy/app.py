"""The Space of the ngram_entropy metric."""

from fac_datasets.diversity import ngram_entropy
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="n-gram entropy",
    explanation="How evenly n-grams are spread, in bits; the normalized value is 1 where all are equally frequent.",
    measure=ngram_entropy,
    key="ngram_entropy_2",
)

if __name__ == "__main__":
    demo.launch()
