"""Offline evaluation: splits, metrics as SQL, significance."""
