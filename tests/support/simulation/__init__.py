"""Simulated worlds: a run, its crashes and a faulty provider in virtual time, and checks of every promise."""
