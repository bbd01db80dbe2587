"""What a feature is: schemas, events, feature SQL, and the Feast repository built from them."""

from feature_repo.feast_import import LeanFeast

LeanFeast.install()
