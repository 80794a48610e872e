"""The one door to Dagster: its private names, its failures, its metadata keys."""
