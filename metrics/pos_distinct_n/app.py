"""The Space of the pos_distinct_n metric."""

from fac_datasets.diversity import pos_distinct_n
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="POS-tag Distinct-n",
    explanation="Different pairs of part-of-speech tags over pairs: how varied the sentences are built. "
    "English, by spaCy's en_core_web_sm.",
    measure=pos_distinct_n,
    key="pos_distinct_2",
)

if __name__ == "__main__":
    demo.launch()
