"""A provider's invoice as values: its lines, and the files that it is read from."""
