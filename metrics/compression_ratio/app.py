"""The Space of the compression_ratio metric."""

from fac_datasets.diversity import compression_ratio
from fac_datasets.evaluate_modules.page import metric_page

demo = metric_page(
    title="Compression ratio",
    explanation="Bytes over bytes when compressed by gzip: the more texts repeat each other, the higher.",
    measure=compression_ratio,
    key="compression_ratio",
)

if __name__ == "__main__":
    demo.launch()
