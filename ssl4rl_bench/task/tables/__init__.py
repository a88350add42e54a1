"""Reads the rows of tables: TSV and parquet files, data sets of the hub, and the cells of a row."""
