"""What every room needs and that knows neither Dagster nor any vendor."""
