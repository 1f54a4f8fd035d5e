"""Qiskit Aer with the noise of devices: what the backends that run circuits on it share."""
