"""Reads: ``database`` has the connections; ``runs``, ``jobs``, ``books`` and ``blocks`` read what a protocol names,
``spans`` many of them as arrays.
"""
