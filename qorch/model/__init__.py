"""Frozen values over numpy arrays: what the rest of qorch passes around."""
