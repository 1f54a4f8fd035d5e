"""An emulator of Amazon Braket on loopback: its control plane, with the S3 objects and the STS call that its SDK needs.

How to read it: ``server`` runs a ``service``, which is put together from ``settings``; ``routes`` are the endpoints
of Braket and ``storage`` those of S3 and STS, behind ``quotas`` and a ``signature``; ``refusals`` are how they say
no. A ``submission`` is read from the JSON of ``wire`` and becomes one of the ``tasks``, whose ``lifecycle`` runs in the
background: ``openqasm`` (with ``pragmas``, ``expressions``) reads a ``program`` of ``gates`` and
``noise_gates``, ``lowering`` turns it into operations on ``states``, ``outcomes`` measures them, also by
``observables``, and ``results`` are the ``objects`` that are left in S3. ``devices`` have ``capabilities`` and
``windows`` of time offline; ``documents`` show tasks, ``money`` and ``bill`` say what they cost, ``spending_limits``
refuse them, and ``truth`` tells tests what really happened.
"""

from qorch_providers.emulators.braket.server import RunningBraket, serve, start
from qorch_providers.emulators.braket.settings import BraketSettings

__all__ = ["BraketSettings", "RunningBraket", "serve", "start"]
