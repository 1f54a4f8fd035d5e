"""From the results of a job to counts."""
