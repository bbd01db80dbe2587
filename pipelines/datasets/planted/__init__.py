"""The planted world: a synthetic streaming service whose true tastes are known."""
