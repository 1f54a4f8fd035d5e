"""What all emulators share: hosting, a clock that tests move, records of traffic, latencies, limits and faults."""
