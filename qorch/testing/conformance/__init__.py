"""Suites that anyone's backend or store can run: subclass one in a test file, and give it what it is to check."""
