"""Checkpoints of a training loop: their content, its encoding, and the random states."""
