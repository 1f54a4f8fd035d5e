"""The `mock` backends: `mock:ionq.qpu.forte-1` is IonQ's machine without IonQ, for dry runs and for training oneself.

How to read it: ``options`` say what is mocked; ``planning`` finds the mocked backend's own planner, which knows its
limits; a profile of ``profiles`` says how long it takes and how often it fails (``shipped`` finds it). The ``provider``
is the other side: it takes jobs, and knows what becomes of them at any time. The ``backend`` is the client; ``answers``
are what results look like on their way.
"""

from qorch_providers.mock.backend import MockBackend, open_backend
from qorch_providers.mock.planning import plan_offline
from qorch_providers.mock.shipped import load_profile

__all__ = ["MockBackend", "load_profile", "open_backend", "plan_offline"]
