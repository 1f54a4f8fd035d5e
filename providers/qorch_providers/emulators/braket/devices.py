"""The emulated devices: what they can do, what they cost, and the error rates that stand for the machines.

The rates are round figures of the size that the makers published; an approximation, as is how they are used (see
`qorch_providers.emulators.statevector.noise`).
"""

from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from qorch.errors import UsageError
from qorch_providers.emulators.braket.gates import GATES
from qorch_providers.emulators.braket.money import DevicePrice
from qorch_providers.emulators.statevector.noise import NoiseRates

_SIMULATOR = "quantum-simulator"
_ALL_GATES = tuple(sorted(GATES))
_NATIVE_OF_OTHERS = frozenset({"gpi", "gpi2", "ms", "prx"})
_QPU_GATES = tuple(name for name in _ALL_GATES if name not in _NATIVE_OF_OTHERS)
_OBSERVABLES = ("x", "y", "z", "h", "i", "hermitian")
_SAMPLED = ("expectation", "sample", "variance", "probability")


@dataclass(frozen=True)
class EmulatedDevice:
    """One device. ``path``: what its ARN ends with, which has the region if it is a QPU.

    ``gates``: those of any circuit; ``native_gates``: those of a verbatim box. ``exact_results``: what it answers for
    `shots=0`. ``edges``: which qubits are coupled; None if all are.
    """

    name: str
    maker: str
    path: str
    region: str
    qubits: tuple[int, ...]
    shots: tuple[int, int]
    gates: tuple[str, ...]
    price: DevicePrice
    native_gates: tuple[str, ...] = ()
    noise: NoiseRates | None = None
    exact_results: tuple[str, ...] = ()
    has_noise_gates: bool = False
    returns_probabilities: bool = False
    debias_shots: int | None = None
    edges: tuple[tuple[int, int], ...] | None = None

    @property
    def arn(self) -> str:
        """Its ARN; a simulator's names no region."""
        return f"arn:aws:braket:{self.region}::device/{self.path}"

    @property
    def is_simulator(self) -> bool:
        """Whether it is a simulator, which is charged by time."""
        return self.path.startswith(_SIMULATOR)

    @property
    def short_name(self) -> str:
        """What the emulator's options call it."""
        return self.name.lower().replace(" ", "-")

    @property
    def observables(self) -> tuple[str, ...]:
        """What can be measured."""
        return _OBSERVABLES if self.is_simulator else _OBSERVABLES[:-1]

    @property
    def sampled_results(self) -> tuple[str, ...]:
        """What it answers with shots."""
        return _SAMPLED


def _grid(qubits: tuple[int, ...], width: int) -> tuple[tuple[int, int], ...]:
    """Neighbours on a square grid of this width, row by row."""
    rights = [(a, b) for a, b in pairwise(qubits) if (qubits.index(a) + 1) % width]
    return (*rights, *zip(qubits, qubits[width:], strict=False))


_GARNET = tuple(range(1, 21))
_ANKAA = tuple(range(82))

DEVICES = MappingProxyType(
    {
        device.arn: device
        for device in (
            EmulatedDevice(
                "SV1", "Amazon Braket", f"{_SIMULATOR}/amazon/sv1", "", tuple(range(34)), (0, 100_000), _ALL_GATES,
                DevicePrice(minute_micros=75_000), exact_results=(*_SAMPLED, "statevector", "amplitude"),
            ),
            EmulatedDevice(
                "DM1", "Amazon Braket", f"{_SIMULATOR}/amazon/dm1", "", tuple(range(17)), (0, 100_000), _ALL_GATES,
                DevicePrice(minute_micros=75_000), exact_results=(*_SAMPLED, "densitymatrix"), has_noise_gates=True,
            ),
            EmulatedDevice(
                "Garnet", "IQM", "qpu/iqm/Garnet", "eu-north-1", _GARNET, (1, 20_000), _QPU_GATES,
                DevicePrice(300_000, 1450), native_gates=("cz", "prx"), noise=NoiseRates(0.001, 0.006, 0.015),
                edges=_grid(_GARNET, 5),
            ),
            EmulatedDevice(
                "Forte 1", "IonQ", "qpu/ionq/Forte-1", "us-east-1", tuple(range(36)), (1, 5000), _QPU_GATES,
                DevicePrice(300_000, 80_000), native_gates=("gpi", "gpi2", "zz"),
                noise=NoiseRates(0.0002, 0.0074, 0.005), returns_probabilities=True, debias_shots=2500,
            ),
            EmulatedDevice(
                "Ankaa-3", "Rigetti", "qpu/rigetti/Ankaa-3", "us-west-1", _ANKAA, (10, 50_000), _QPU_GATES,
                DevicePrice(300_000, 900), native_gates=("iswap", "rx", "rz"), noise=NoiseRates(0.001, 0.008, 0.03),
                edges=_grid(_ANKAA, 12),
            ),
        )
    }
)  # fmt: skip


def read_names(text: str) -> frozenset[str]:
    """Names of devices, separated by commas. Raises UsageError for an unknown name."""
    names = frozenset(filter(None, (part.strip().lower() for part in text.split(","))))
    known = sorted(device.short_name for device in DEVICES.values())
    for name in sorted(names):
        if name not in known:
            raise UsageError(f"'{name}' is not an emulated device; there are {', '.join(known)}")
    return names
