"""When things run: datasets, Dagster assets, checks, schedules and the command line."""
