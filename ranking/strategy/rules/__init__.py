"""The rule language: what a merchandiser may ask of a page, one rule a line."""
