"""Tasks of MMBench's schema: rows from any source, circular groups, and the taxonomy."""
