"""The backend `ibm:fake_<device>`: checks and sizes jobs, and has them run by its pool of workers."""

import hashlib
import importlib.metadata
import importlib.util
import logging
from pathlib import Path

from qorch import machine
from qorch.errors import CircuitError, MissingPackageError, UnknownNameError, UsageError
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch_providers.aer_engine import limits
from qorch_providers.aer_engine.devices import device_digest, fake_devices
from qorch_providers.aer_engine.kept_noise import kept_file
from qorch_providers.ibm.device import IbmDevice, check_device, read_device
from qorch_providers.ibm.options import Options, parse_options
from qorch_providers.workers.backend import WorkerBackend
from qorch_providers.workers.process import WorkerProgram

_log = logging.getLogger("qorch")
_WORKER = "qorch_providers.ibm.local.worker"
_PACKAGES = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")
REVISION = 1
"""Rises with any change of ours that changes what a seed gives."""


def open_fake_backend(options: str, *, clock: Clock, workers: int | None) -> "IbmFakeBackend":
    """The backend ``ibm:<options>``, whose target is a fake device; ``workers`` None is one per core.

    Starts nothing yet. Raises MissingPackageError without Aer, UnknownNameError for an unknown device or option,
    UsageError for a value that they cannot have.
    """
    parsed = parse_options(options)
    for module in ("qiskit_aer", "qiskit_ibm_runtime"):
        if importlib.util.find_spec(module) is None:
            name = module.replace("_", "-")
            raise MissingPackageError(f"ibm:{options} needs {name}: pip install 'qorch[aer,ibm]'")
    if workers is not None and workers < 1:
        raise UsageError(f"ibm:{options} was asked for {workers} workers; give at least 1")
    if parsed.target not in fake_devices():
        raise UnknownNameError(
            f"qiskit-ibm-runtime has no recorded device '{parsed.target}'; choose one of"
            f" {', '.join(sorted(fake_devices()))}"
        )
    device = read_fake_device(parsed)
    check_device(device, parsed)
    return IbmFakeBackend(options, parsed, device, workers=workers or machine.available_cores(), clock=clock)


def read_fake_device(options: Options) -> IbmDevice:
    """The recorded device that the options name."""
    folder = fake_devices()[options.target]
    configuration, properties = (_read(folder, kind) for kind in ("conf", "props"))
    return read_device(configuration, properties, has_fractional=options.has_fractional)


def _read(folder: Path, kind: str) -> bytes:
    return (folder / f"{kind}_{folder.name}.json").read_bytes()


class IbmFakeBackend(WorkerBackend):
    """See ``qorch.ports.backend.InProcessBackend``. Circuits are compiled and run in worker processes."""

    def __init__(self, text: str, options: Options, device: IbmDevice, *, workers: int, clock: Clock) -> None:
        """Use ``open_fake_backend``. ``text``: the options as they were given."""
        held = limits.max_qubits(workers=workers, memory=machine.memory_bytes())
        capabilities = Capabilities(
            max_qubits=min(held, device.n_qubits),
            max_shots=limits.MAX_SHOTS,
            max_rows_per_job=limits.MAX_ROWS_PER_JOB,
            slots=workers,
            charges=False,
            samples=True,
            exact=True,
        )
        self._target, self._digest = options.target, device_digest(options.target)
        self._layout = options.layout
        program = WorkerProgram("ibm", _WORKER, (text, self._digest.hex()), limits.THREADS_MIN_QUBITS)
        context = _context(options, device)
        super().__init__(f"ibm:{text}", program, capabilities=capabilities, context=context, clock=clock)

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """Raise CircuitError if the state does not fit into a worker's memory or onto the device."""
        held = self._capabilities.max_qubits
        if gates.n_qubits > held:
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; {self._name} on this machine holds at most {held}: use fewer"
                " or another backend"
            )
        limit = limits.MAX_EXACT_NOISY_QUBITS
        if measurement.is_exact and gates.n_qubits > limit:
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; exact values with noise are possible up to {limit}:"
                " ask for shots"
            )
        if self._layout and len(self._layout) < gates.n_qubits:
            raise CircuitError(f"the circuit has {gates.n_qubits} qubits; layout= names {len(self._layout)}")

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """Rows that take about a tenth of a second."""
        return limits.rows_per_job(gates, measurement, shots=shots, is_noisy=True)

    async def open(self) -> None:
        """Start the workers in the background."""
        file = kept_file(self._target, digest=self._digest)
        if file is None or not file.exists():
            kept = "in every process" if file is None else "once"
            _log.warning("building the noise model of %s %s; this can take a minute", self._target, kept)
        await super().open()


def _context(options: Options, device: IbmDevice) -> bytes:
    versions = [importlib.metadata.version(name) for name in _PACKAGES]
    parts = (REVISION, versions, options.target, device.calibration, options.optimization,
             options.seed, options.layout, options.has_fractional)  # fmt: skip
    return hashlib.sha256(f"ibm-fake/{parts!r}".encode()).digest()
