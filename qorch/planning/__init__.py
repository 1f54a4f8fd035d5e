"""From pubs to jobs and back, without side effects: lowering, reuse of stored samples, packing, estimation."""
