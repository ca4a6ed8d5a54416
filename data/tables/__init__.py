"""Read tables row by row, by ranges of rows: CSV, TSV, JSON Lines and Parquet. Memory does not grow with the table."""
