"""Circuits compiled for the engines: primitives, the program made of them, and a cache of programs."""
