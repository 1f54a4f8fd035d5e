"""The shipped conformance suite over recorded IBM devices in worker processes, and their noise by Qiskit itself."""

import asyncio
from typing import Any

import numpy as np
import pytest
from ibm_circuits import COMPILER, options_of
from ionq_circuits import block_of, random_gates, request_of, with_samples
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime.fake_provider import FakeFez, FakeLagosV2
from shared_backend import SharedBackend

from qorch.errors import UnknownNameError, UsageError
from qorch.model.arrays import FloatArray
from qorch.ports.backend import Backend
from qorch.ports.clock import WallClock
from qorch.testing.reference import chi_square_sigmas
from qorch_providers.ibm import open_backend
from qorch_providers.ibm.circuits.isa import measured_circuit
from qorch_providers.ibm.local.backend import read_fake_device

FAKE = "fake_lagos,optimization=1,layout=5-3-1-0"
MAX_SIGMAS = 6.0


def open_fake() -> Backend:
    """One worker."""
    return open_backend(FAKE, clock=WallClock(), workers=1)


class TestIbmFake(SharedBackend):
    """Every row is compiled for the device by Qiskit."""

    is_ideal = False

    @classmethod
    def open_one(cls) -> Backend:
        """One worker."""
        return open_fake()

    @pytest.mark.parametrize("n_circuits", [6, pytest.param(20, marks=pytest.mark.soak)])
    def test_random_circuits_have_the_noise_that_aer_gives_them(self, n_circuits: int) -> None:
        """Random circuits, compiled and placed as for the real device, agree with Aer under Qiskit's noise model."""
        check_deviations(self.runner.run(deviations(self.shared, FAKE, FakeLagosV2(), n_circuits=n_circuits)))


async def deviations(backend: Any, text: str, recorded: Any, *, n_circuits: int) -> FloatArray:
    """Of the counts of random circuits from Aer's with the noise of the recorded device, in standard deviations."""
    simulator = AerSimulator(noise_model=NoiseModel.from_backend(recorded))
    blocks = []
    for seed in range(n_circuits):
        rng = np.random.default_rng(seed)
        gates = random_gates(rng, 3, 10)
        block = block_of(gates, rng.uniform(-3, 3, (1, gates.n_columns)), basis="XZY", shots=4000)
        # Of one random stream, all circuits would deviate in the same way.
        blocks.append(with_samples(block, ordinals=np.array([seed], dtype=np.uint64)))
    request = request_of(*blocks)
    await backend.prepare([block.gates for block in blocks])
    read = backend.read(request.shape, await backend.run(backend.encode(request, key="")))
    options = options_of(text)
    device, found = read_fake_device(options), []
    for seed, (block, result) in enumerate(zip(blocks, read.blocks, strict=True)):
        isa = COMPILER.compile(block.gates, device=device, options=options)
        circuit = measured_circuit(isa, block.measurement.basis.tobytes())
        bound = circuit.assign_parameters(dict(zip(circuit.parameters, isa.values(block.angles)[0], strict=True)))
        counted = simulator.run(bound, shots=40_000, seed_simulator=seed + 1).result().get_counts()
        expected = np.zeros(8)
        for key, count in counted.items():
            expected[int(key, 2)] = count / 40_000
        found.append(chi_square_sigmas(result.counts.dense()[0], np.maximum(expected, 1e-7)))
    return np.array(found)


def check_deviations(found: FloatArray) -> None:
    """They are those of chance: in the mean 0.2, since what is compared with is a sample, too."""
    assert found.max() < MAX_SIGMAS
    assert found.mean() < 0.2 + 4 / np.sqrt(len(found))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("text", ["fake_fez", "fake_fez,optimization=3,layout=37-23-8"])
def test_random_circuits_have_the_noise_of_a_large_device(text: str) -> None:
    """The same on 156 qubits, on the layout that the transpiler chooses, and on another one."""

    async def run() -> FloatArray:
        backend: Any = open_backend(text, clock=WallClock(), workers=1)
        await backend.open()
        try:
            return await deviations(backend, text, FakeFez(), n_circuits=20)
        finally:
            await backend.close()

    found = asyncio.run(run())
    print(f"{text}: largest deviation {found.max():.2f} standard deviations, mean {found.mean():+.2f}")
    check_deviations(found)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("fake_nothing", UnknownNameError, "choose one of fake_aachen"),
        ("fake_fez,max_time=5", UsageError, "has no option max_time"),
        ("fake_fez,fractional=on", UsageError, "no fractional gates"),
        ("fake_almaden", UsageError, "no rz and sx"),
    ],
)
def test_what_cannot_be_opened(text: str, error: type[Exception], words: str) -> None:
    """A wrong device or option is refused by name, before anything starts."""
    with pytest.raises(error, match=words):
        open_backend(text, clock=WallClock(), workers=1)
