"""Computes outcomes (one score per reply), aggregates and result.json from the journal of a run."""
