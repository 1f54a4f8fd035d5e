"""The backend `braket:local`: checks and sizes jobs, and has them run by its pool of workers."""

import hashlib
import importlib.metadata
import importlib.util

from qorch import machine
from qorch.errors import CircuitError, MissingPackageError, UsageError
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch_providers.braket.local import limits
from qorch_providers.braket.local.options import LocalOptions, parse_local_options
from qorch_providers.workers.backend import WorkerBackend
from qorch_providers.workers.process import WorkerProgram

_WORKER = "qorch_providers.braket.local.worker"
REVISION = 1
"""Rises with any change of ours that changes what a seed gives."""


def open_local_backend(options: str, *, clock: Clock, workers: int | None) -> "BraketLocalBackend":
    """The backend ``braket:<options>``, which begin with ``local``; ``workers`` None is one per core.

    Starts nothing yet. Raises MissingPackageError without the SDK, UnknownNameError for unknown options, UsageError for
    a value that they cannot have.
    """
    if not _is_installed():
        raise MissingPackageError(f"braket:{options} needs amazon-braket-sdk: pip install 'qorch[braket]'")
    if workers is not None and workers < 1:
        raise UsageError(f"braket:local was asked for {workers} workers; give at least 1")
    given = parse_local_options(options.partition(",")[2])
    return BraketLocalBackend(f"braket:{options}", given, workers=workers or machine.available_cores(), clock=clock)


class BraketLocalBackend(WorkerBackend):
    """See ``qorch.ports.backend.InProcessBackend``. The SDK runs in worker processes; nothing of it is loaded here."""

    def __init__(self, name: str, options: LocalOptions, *, workers: int, clock: Clock) -> None:
        """Use ``open_local_backend``."""
        self._simulator = options.simulator
        capabilities = Capabilities(
            max_qubits=limits.max_qubits(self._simulator, workers=workers, memory=machine.memory_bytes()),
            max_shots=limits.MAX_SHOTS,
            max_rows_per_job=limits.MAX_ROWS_PER_JOB,
            slots=workers,
            charges=False,
            samples=True,
            exact=True,
        )
        program = WorkerProgram("braket:local", _WORKER, (self._simulator,))
        super().__init__(name, program, capabilities=capabilities, context=_context(self._simulator), clock=clock)

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """Raise CircuitError if the SDK's simulator does not take so many qubits, or no worker's memory holds them."""
        del measurement
        held = self._capabilities.max_qubits
        if gates.n_qubits > held:
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; braket:local with {self._simulator} holds at most {held} on this"
                " machine: use fewer or another backend"
            )

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """Rows that take about a tenth of a second."""
        return limits.rows_per_job(gates, measurement, simulator=self._simulator, shots=shots)


def _context(simulator: str) -> bytes:
    version = importlib.metadata.version("amazon-braket-default-simulator")
    return hashlib.sha256(f"braket:local/{simulator}/{version}/{REVISION}".encode()).digest()


def _is_installed() -> bool:
    """Whether the simulators are there, without importing them."""
    try:
        return importlib.util.find_spec("braket.default_simulator") is not None
    except ImportError:  # of the package above it
        return False
