"""Read-models over the store: where the time and the money went."""
