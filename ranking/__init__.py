"""What to show: representation, candidates, rankers, strategy, evaluation and serving."""
