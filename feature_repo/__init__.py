"""What a feature is: schemas, events, feature SQL, and the Feast repository built from them."""
