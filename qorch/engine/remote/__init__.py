"""Jobs that outlive the process: submitted once, paced, polled, found again by key, delivered, adopted."""
