"""The Space of the novelsum metric."""

from fac_datasets.diversity import novelsum
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="NovelSum",
    explanation="How far texts lie from each other (all-MiniLM-L6-v2), where near ones weigh most.",
    measure=novelsum,
    key="novelsum",
)

if __name__ == "__main__":
    demo.launch()
