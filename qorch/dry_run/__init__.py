"""A whole training on a mock of the paid backend and a virtual clock, and what it foretells: money, time, faults."""
