"""Latency profiles: how long a provider takes and how often it fails, read from TOML, drawn from, and written."""
