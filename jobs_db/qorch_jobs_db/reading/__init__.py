"""Reads: ``database`` has the connections; ``runs``, ``jobs`` and ``blocks`` read what a protocol of Store names."""
