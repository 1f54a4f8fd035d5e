"""Memory and cores of this machine, for backends that compute on it."""

from qorch.machine import available_cores, memory_bytes

__all__ = ["available_cores", "memory_bytes"]
