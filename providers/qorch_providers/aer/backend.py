"""The `aer` backend: checks and sizes jobs, has them run by its pool of workers, and reads the answers."""

import hashlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Mapping

from qorch import machine
from qorch.errors import CircuitError, MissingPackageError, UsageError
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch_providers.aer.options import Options, parse_options
from qorch_providers.aer_engine import limits
from qorch_providers.aer_engine.devices import FAKE_PREFIX
from qorch_providers.aer_engine.kept_noise import kept_file
from qorch_providers.workers.backend import WorkerBackend
from qorch_providers.workers.process import WorkerProgram

_log = logging.getLogger("qorch")
_WORKER = "qorch_providers.aer.worker"
PRECISION = "double"
# Rises with any change of ours that changes what a seed gives.
SAMPLER_VERSION = 1


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> "AerBackend":
    """The backend ``aer`` or ``aer:<options>``; ``workers`` None is one per core. Starts nothing yet.

    Raises MissingPackageError if an extra is not installed, UnknownNameError for unknown options.
    """
    if importlib.util.find_spec("qiskit_aer") is None:
        raise MissingPackageError("the aer backend needs qiskit-aer: pip install 'qorch[aer]'")
    if workers is not None and workers < 1:
        raise UsageError(f"aer was asked for {workers} workers; give at least 1")
    del environment
    name = f"aer:{options}" if options else "aer"
    return AerBackend(name, parse_options(options), workers=workers or machine.available_cores(), clock=clock)


class AerBackend(WorkerBackend):
    """See ``qorch.ports.backend.InProcessBackend``. Aer runs in worker processes; nothing of it is imported here."""

    def __init__(self, name: str, options: Options, *, workers: int, clock: Clock) -> None:
        """Use ``open_backend``."""
        held = limits.max_qubits(workers=workers, memory=machine.memory_bytes())
        capabilities = Capabilities(
            max_qubits=min(held, options.n_device_qubits or held),
            max_shots=limits.MAX_SHOTS,
            max_rows_per_job=limits.MAX_ROWS_PER_JOB,
            slots=workers,
            charges=False,
            samples=True,
            exact=True,
        )
        program = WorkerProgram("aer", _WORKER, options.worker_arguments, limits.THREADS_MIN_QUBITS)
        super().__init__(name, program, capabilities=capabilities, context=_context(options), clock=clock)
        self._options = options

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """Raise CircuitError if the state does not fit into a worker's memory or onto the device."""
        held = self._capabilities.max_qubits
        if gates.n_qubits > held:
            place = self._options.noise if self._options.n_device_qubits == held else "this machine"
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; aer on {place} holds at most {held}: use fewer"
                " or another backend"
            )
        limit = limits.MAX_EXACT_NOISY_QUBITS
        if self._options.noise is not None and measurement.is_exact and gates.n_qubits > limit:
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; exact values with noise are possible up to {limit}:"
                " ask for shots"
            )

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """Rows that take about a tenth of a second."""
        is_noisy = self._options.noise is not None
        return limits.rows_per_job(gates, measurement, shots=shots, is_noisy=is_noisy)

    async def open(self) -> None:
        """Start the workers in the background."""
        self._announce_noise()
        await super().open()

    def _announce_noise(self) -> None:
        """Warn that a device's noise model must be built first, which can take a minute."""
        device = self._options.noise
        if device is None or not device.startswith(FAKE_PREFIX):
            return
        file = kept_file(device, digest=self._options.digest)
        if file is None or not file.exists():
            kept = "in every process" if file is None else "once"
            _log.warning("building the noise model of %s %s; this can take a minute", device, kept)


def _context(options: Options) -> bytes:
    parts = ["aer", importlib.metadata.version("qiskit-aer"), PRECISION, str(SAMPLER_VERSION)]
    if options.noise is not None:
        # The transpiler decides which noisy gates a circuit is made of.
        parts += ["noise", options.digest.hex(), importlib.metadata.version("qiskit")]
    return hashlib.sha256("/".join(parts).encode()).digest()
