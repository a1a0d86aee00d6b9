"""`python -m fac_datasets` is the `fac-datasets` command."""

from fac_datasets.cli import main

if __name__ == "__main__":
    main()
