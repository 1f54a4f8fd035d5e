"""From pubs to jobs and back, pure: rows, stored samples that stand in, packing, and values with their errors."""
