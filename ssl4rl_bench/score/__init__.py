"""From the journal of a run to outcomes (one score a sample), aggregates and result.json."""
