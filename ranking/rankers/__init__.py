"""Models that order a slate of candidates by features."""
