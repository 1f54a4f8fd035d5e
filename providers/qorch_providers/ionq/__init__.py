"""The `ionq` backend: IonQ's machines and simulator over its REST API, or any server that speaks it."""

from qorch_providers.ionq.backend import IonqBackend, open_backend

__all__ = ["IonqBackend", "open_backend"]
