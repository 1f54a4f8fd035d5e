"""`braket:local`: its options and limits, its values and seeds, and its worker processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from local_circuits import random_gates

from qorch.errors import CircuitError, MissingPackageError, UnknownNameError, UsageError, WorkerLostError
from qorch.model.circuit import GateList, build_gate_list
from qorch.model.counts import Counts, concatenate_counts
from qorch.model.gates import GATES_BY_NAME
from qorch.model.measurement import Measurement, RowBlock
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import angles_for, assert_same_counts, block_of, counts_of, rows_of, values_of
from qorch.testing.conformance.in_process import run_job
from qorch.testing.reference import reference_parities, reference_probabilities
from qorch_providers.braket import open_backend
from qorch_providers.braket.local import limits
from qorch_providers.braket.local.backend import BraketLocalBackend


def open_local(options: str = "local", *, workers: int = 1) -> BraketLocalBackend:
    """The backend, which starts nothing yet."""
    backend = open_backend(options, clock=WallClock(), workers=workers)
    assert isinstance(backend, BraketLocalBackend)
    return backend


def gates_of(names: Sequence[str], rng: np.random.Generator) -> GateList:
    """Each of the gates once, on random ones of three qubits, with free angles."""
    chosen = [GATES_BY_NAME[name] for name in names]
    places = [tuple(rng.permutation(3)[: gate.n_qubits].tolist()) for gate in chosen]
    return build_gate_list(
        3, [(gate.opcode, qubits, (None,) * gate.n_angles) for gate, qubits in zip(chosen, places, strict=True)]
    )


@pytest.mark.parametrize("options", ["local,simulator=braket_dm", "Local, simulator=braket_dm"])
def test_the_density_matrix_simulator_has_its_own_name_limits_and_context(options: str) -> None:
    """It holds fewer qubits, and its stored results are not those of the other one."""
    state, density = open_local(), open_local(options)
    assert density.name == f"braket:{options}"
    assert density.capabilities.max_qubits == 13 < state.capabilities.max_qubits <= 26
    gates = build_gate_list(1, [])
    assert density.context(gates) != state.context(gates)


def test_unknown_options_and_values_are_named() -> None:
    """Each with its choices."""
    with pytest.raises(UnknownNameError, match=r"braket:local has no option 'shots=3'; choose simulator=braket_sv\|"):
        open_local("local,shots=3")
    with pytest.raises(UsageError, match="the value must be one of braket_sv, braket_dm"):
        open_local("local,simulator=braket_ahs")
    with pytest.raises(UsageError, match="0 workers"):
        open_local(workers=0)


def test_missing_packages_have_their_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK the backend says how to install it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        MissingPackageError, match=r"^braket:local needs amazon-braket-sdk: pip install 'qorch\[braket\]'$"
    ):
        open_local()


def test_the_parent_imports_no_sdk() -> None:
    """Opening the backend loads nothing of the SDK, which takes seconds."""
    script = (
        "import sys\nfrom qorch.ports.clock import WallClock\nfrom qorch_providers.braket import open_backend\n"
        "open_backend('local', clock=WallClock())\n"
        "print([name for name in ('braket.default_simulator', 'botocore', 'pydantic', 'sympy') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_circuit_that_is_too_wide_is_refused_in_a_sentence() -> None:
    """It says how many qubits there may be."""
    backend = open_local()
    held = backend.capabilities.max_qubits
    measurement = Measurement(np.zeros(held + 1, dtype=np.uint8), is_exact=False)
    sentence = (
        f"circuit has {held + 1} qubits; braket:local with braket_sv holds at most {held} on this machine: use fewer"
    )
    with pytest.raises(CircuitError, match=sentence):
        backend.check(build_gate_list(held + 1, []), measurement)


def test_memory_decides_how_many_qubits_fit() -> None:
    """Of each worker; a density matrix has the square of a state vector's amplitudes."""
    assert limits.max_qubits("braket_sv", workers=2, memory=2 << 30) == 24
    assert limits.max_qubits("braket_dm", workers=2, memory=2 << 30) == 12
    assert limits.max_qubits("braket_sv", workers=2, memory=1 << 50) == 26


def test_jobs_take_about_a_tenth_of_a_second() -> None:
    """Large circuits go one by one, small ones together."""
    rng = np.random.default_rng(1)
    large, small = random_gates(rng, 20, 200), random_gates(rng, 2, 10)
    basis = np.zeros(20, dtype=np.uint8)
    assert open_local().rows_per_job(large, Measurement(basis, is_exact=False), shots=100) == 1
    assert 50 <= open_local().rows_per_job(small, Measurement(basis[:2], is_exact=False), shots=100) <= 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_random_circuits_agree_with_the_reference() -> None:
    """Exact probabilities and parities of 100 circuits over the whole gate list, in random bases."""
    from qorch_providers.braket.local.executor import LocalExecutor

    rng = np.random.default_rng(41)
    blocks, wanted = [], []
    for n_qubits in rng.integers(1, 9, size=100).tolist():
        gates = random_gates(rng, n_qubits, int(rng.integers(1, 26)))
        angles = rng.uniform(-7, 7, (2, gates.n_columns))
        basis = rng.integers(3, size=n_qubits).astype(np.uint8)
        masks = rng.integers(1 << n_qubits, size=3).astype(np.uint64)
        reference = reference_probabilities(gates, angles, basis=basis)
        block = block_of(gates, angles, shots=None, basis=basis.tolist())
        blocks += [block, replace(block, measurement=Measurement(basis, is_exact=True, masks=masks))]
        wanted += [reference, reference_parities(reference, masks)]
    found = LocalExecutor("braket_sv").execute(blocks, threads=1)
    for part, table in zip(found, wanted, strict=True):
        np.testing.assert_allclose(values_of(part), table, atol=1e-12, rtol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:You are running a noise-free circuit")
@pytest.mark.parametrize(
    ("simulator", "names"), [("braket_sv", tuple(GATES_BY_NAME)), ("braket_dm", ("ry", "cx", "rz"))]
)
def test_the_bits_are_those_of_the_local_simulator(simulator: str, names: tuple[str, ...]) -> None:
    """A row has bit for bit the probabilities that the SDK's LocalSimulator gives for the program with its inputs.

    Of the density matrix few gates: the SDK compiles for each kind of gate and number of qubits, for seconds.
    """
    from braket.devices import LocalSimulator
    from braket.ir.openqasm import Program as OpenQASMProgram

    from qorch_providers.braket.circuits.programs import program_of
    from qorch_providers.braket.local.simulation import CompiledProgram, describe_simulator
    from qorch_providers.braket.options import Options

    rng = np.random.default_rng(43)
    device = describe_simulator(simulator)
    gates = gates_of(names, rng)
    basis = np.array([0, 1, 2], dtype=np.uint8)
    angles = rng.uniform(-4, 4, (2, gates.n_columns))
    program = program_of(gates, Measurement(basis, is_exact=True), device=device, options=Options(device.arn))
    found = CompiledProgram(program, simulator=simulator, n_qubits=3).probabilities(angles)
    for row, numbers in enumerate(program.values(angles).tolist()):
        source = OpenQASMProgram(source=program.source, inputs=dict(zip(program.names, numbers, strict=True)))
        answer = LocalSimulator(simulator).run(source, shots=0).result().values[0]
        assert np.array_equal(np.asarray(answer).reshape(2, 2, 2).T.ravel(), found[row])
    np.testing.assert_allclose(found, reference_probabilities(gates, angles, basis=basis), atol=1e-12, rtol=0)


async def sample(backend: BraketLocalBackend, *blocks: RowBlock) -> Counts:
    """The counts of all rows; one job per block, all at once."""
    jobs = (run_job(backend, block, job_id=f"sampled/{number}") for number, block in enumerate(blocks))
    return concatenate_counts([counts_of(part) for result in await asyncio.gather(*jobs) for part in result.blocks])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_and_packing_change_no_bit() -> None:
    """One job, or one for every row, on two workers: the counts are equal."""
    from qorch_providers.braket.local.executor import LocalExecutor

    gates = random_gates(np.random.default_rng(5), 5, 30)
    block = block_of(gates, angles_for(gates, 8), shots=300)
    (whole,) = LocalExecutor("braket_sv").execute([block], threads=1)

    async def work() -> None:
        backend = open_local(workers=2)
        try:
            pieces = await sample(backend, *(rows_of(block, [row]) for row in range(8)))
            assert len(backend.worker_pids) == 2
            assert_same_counts(pieces, counts_of(whole))
        finally:
            await backend.close()

    asyncio.run(work())


def test_a_killed_worker_loses_its_job_and_is_replaced() -> None:
    """kill -9 in mid-job is a WorkerLostError, which the engine repeats; the next job is served."""
    gates = build_gate_list(2, [(GATES_BY_NAME["h"].opcode, (1,), ())])
    block = block_of(gates, np.zeros((1, 0)), shots=100)

    async def work() -> None:
        backend = open_local()
        try:
            first = await sample(backend, block)
            (pid,) = backend.worker_pids
            os.kill(pid, signal.SIGSTOP)
            lost = asyncio.create_task(sample(backend, block))
            for _ in range(20):  # turns of the loop, in which the job goes to the worker
                await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(WorkerLostError, match=r"braket:local worker .*signal 9"):
                await lost
            assert_same_counts(await sample(backend, block), first)
            assert backend.worker_pids != [pid]
        finally:
            await backend.close()

    asyncio.run(work())
