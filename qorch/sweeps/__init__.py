"""Many trainings at once: the trials of a sweep over one budget and one cache, and the comparison of methods."""
