"""Numbers and names as cells of tables."""
