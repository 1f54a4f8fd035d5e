"""The `ionq` backend: IonQ's machines and simulator over its REST API, or any server that speaks it."""

from qorch_providers.ionq.backend import IonqBackend, open_backend
from qorch_providers.ionq.offline import plan_offline

__all__ = ["IonqBackend", "open_backend", "plan_offline"]
