"""A small state-vector simulator over many circuits of one shape at once."""
