"""A training run: ``run`` is what a user holds; the other modules are what it is made of, each for one thing."""
