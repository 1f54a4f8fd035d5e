"""The `aer` backend: Qiskit Aer in worker processes, with qorch's own seeded sampling."""

from qorch_providers.aer.backend import AerBackend, open_backend

__all__ = ["AerBackend", "open_backend"]
