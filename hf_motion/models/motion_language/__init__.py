"""Language models with motion tokens."""
