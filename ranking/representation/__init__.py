"""Items and users as vectors: encoders, alignment and what they need."""
