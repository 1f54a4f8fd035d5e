"""The `local` backend: one circuit at many rows of angles, on this machine, fast."""

from qorch_providers.local.backend import LocalBackend, open_backend

__all__ = ["LocalBackend", "open_backend"]
