"""Backends, a provider and stores without disk or network, for tests: honest by default, with faults on demand."""
