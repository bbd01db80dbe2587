"""Dagster assets: one call out, metadata back."""
