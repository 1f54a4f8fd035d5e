"""The shipped conformance suite over every backend of this repository."""

import json
from pathlib import Path

import pytest

from qorch.ports.backend import Backend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.in_process import InProcessConformance
from qorch_providers.aer import open_backend


def write_noise_file(path: Path) -> Path:
    """A small noise model: depolarised cx and sx, and reading errors of every qubit."""
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    model = NoiseModel(basis_gates=["id", "rz", "sx", "x", "cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.002, 1), ["sx", "x"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 2), ["cx"])
    model.add_all_qubit_readout_error(ReadoutError([[0.98, 0.02], [0.05, 0.95]]))
    path.write_text(json.dumps(model.to_dict(serializable=True)))
    return path


class TestAer(InProcessConformance):
    """Aer without noise."""

    def make_backend(self) -> Backend:
        """Two workers."""
        return open_backend("", clock=WallClock(), workers=2)


class TestAerWithNoise(InProcessConformance):
    """Aer with the noise of a file."""

    is_ideal = False
    noise_file = Path()

    @pytest.fixture(autouse=True)
    def _noise(self, tmp_path: Path) -> None:
        self.noise_file = write_noise_file(tmp_path / "noise.json")

    def make_backend(self) -> Backend:
        """Two workers."""
        return open_backend(f"noise={self.noise_file}", clock=WallClock(), workers=2)
