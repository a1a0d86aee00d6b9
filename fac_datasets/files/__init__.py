"""What touches the disk, whatever it holds: atomic writes, output folders, packages, parquet files."""
