"""Doubles and conformance suites for tests, ours and those of third parties."""
