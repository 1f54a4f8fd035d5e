"""An emulator of IBM Quantum on loopback: its REST API, with the IAM, global search and catalog that its client needs.

How to read it: ``server`` runs a ``service``, which is put together from ``settings``; ``routes`` are the endpoints,
``account_routes`` of IAM (``identity``), ``instances`` and backends, ``job_routes`` of jobs and sessions, which say no
as ``refusals`` do; faults may have ``spoiled`` a result. A job is read from the JSON of ``wire`` and becomes one of the
``jobs``, whose ``lifecycle`` runs in the background: it waits for one of the ``turns`` on its device, alone or in one
of the ``sessions``, and runs one of the ``programs``. ``devices`` are recorded ones, with ``calibrations`` that change
and windows of ``maintenance``; ``documents`` show everything, ``money`` and ``bill`` say what it costs, and ``truth``
tells tests what really happened.

The client needs no change. It takes a URL of the API as it is if the word `experimental` is in it, and reads where IAM,
search and catalog are from the environment: see ``server.environment``. No name server, proxy or TLS is needed.
"""

from qorch_providers.emulators.ibm.server import RunningIbm, serve, start
from qorch_providers.emulators.ibm.settings import IbmSettings

__all__ = ["IbmSettings", "RunningIbm", "serve", "start"]
