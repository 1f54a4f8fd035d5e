"""The shipped conformance suite over every backend of this repository."""

import json
from pathlib import Path

from shared_backend import SharedBackend

from qorch.ports.backend import Backend
from qorch.ports.clock import WallClock
from qorch_providers.aer import open_backend


def write_noise_file(path: Path) -> None:
    """A small noise model: depolarised cx and sx, and reading errors of every qubit."""
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    model = NoiseModel(basis_gates=["id", "rz", "sx", "x", "cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.002, 1), ["sx", "x"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cx"])
    model.add_all_qubit_readout_error(ReadoutError([[0.98, 0.02], [0.05, 0.95]]))
    path.write_text(json.dumps(model.to_dict(serializable=True)))


class TestAer(SharedBackend):
    """Aer without noise."""

    @classmethod
    def open_one(cls) -> Backend:
        """Two workers."""
        return open_backend("", clock=WallClock(), workers=2)


class TestAerWithNoise(SharedBackend):
    """Aer with the noise of a file."""

    is_ideal = False

    @classmethod
    def open_one(cls) -> Backend:
        """Two workers."""
        noise_file = cls.folder / "noise.json"
        if not noise_file.exists():
            write_noise_file(noise_file)
        return open_backend(f"noise={noise_file}", clock=WallClock(), workers=2)
