"""The Space of the vendi_score metric."""

from fac_datasets.diversity import vendi_score
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="Vendi score",
    explanation="The effective number of different texts, from the spectrum of the cosine similarities of their "
    "embeddings (all-MiniLM-L6-v2).",
    measure=vendi_score,
    key="vendi_score",
)

if __name__ == "__main__":
    demo.launch()
