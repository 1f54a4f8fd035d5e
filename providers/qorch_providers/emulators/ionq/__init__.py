"""An emulator of IonQ's REST service: the real protocol, v0.4 and v0.3, on loopback, with simulated circuits.

How to read it: ``server`` runs a ``service``, which is put together from ``settings``; ``routes`` are the endpoints. A
``submission`` is read from the JSON of ``wire`` and becomes one of the ``jobs``, whose ``lifecycle`` runs in the
background: its ``circuits`` of ``gates`` are simulated with the noise of one of the ``backends``, and
``outcomes`` keeps the results. ``documents`` and ``legacy`` show jobs as the two versions do; ``money`` and ``bill``
say what they cost, ``sessions`` groups them, and ``truth`` is a record of all accepted jobs for tests.
"""

from qorch_providers.emulators.ionq.server import RunningEmulator, serve, start
from qorch_providers.emulators.ionq.settings import Settings

__all__ = ["RunningEmulator", "Settings", "serve", "start"]
