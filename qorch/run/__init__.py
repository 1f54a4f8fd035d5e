"""A training run: ``run.Run`` is what a user gets; each of the other modules is one part of it."""
