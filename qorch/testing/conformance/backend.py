"""What every backend must do, in this process or at a provider: the checks that the two conformance suites share.

An adapter's tests subclass ``InProcessConformance`` or the suite of remote backends, which execute the requests.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest

from qorch.errors import CircuitError
from qorch.model.arrays import FloatArray, UIntArray
from qorch.model.circuit import GateList, build_gate_list
from qorch.model.counts import Counts
from qorch.model.gates import GATES, GATES_BY_NAME, Gate
from qorch.model.job import JobRequest, JobResult
from qorch.model.measurement import BlockResult, Measurement, RowBlock
from qorch.model.observable import X, Y, Z, parse_observable
from qorch.model.pauli_sums import PauliSums, sum_observables
from qorch.model.samples import Samples
from qorch.ports.backend import Backend
from qorch.testing.reference import chi_square_sigmas, reference_parities, reference_probabilities

T = TypeVar("T")
Triple = tuple[int, tuple[int, ...], tuple[float | None, ...]]
MAX_SIGMAS = 6.0
N_QUBITS = 3


def gate_triple(name: str, qubits: tuple[int, ...], *angles: float | None) -> Triple:
    """One gate for build_gate_list."""
    return GATES_BY_NAME[name].opcode, qubits, angles


def circuit_of_gate(gate: Gate, *, angle: float | None = None) -> GateList:
    """The gate on qubits in descending order, with free angles or all at ``angle``, between rotations that mix."""
    before = [gate_triple("u", (q,), 0.4 + q, 1.1 - 0.3 * q, 0.7 * q) for q in range(N_QUBITS)]
    middle = (gate.opcode, tuple(reversed(range(N_QUBITS)))[: gate.n_qubits], (angle,) * gate.n_angles)
    after = [gate_triple("u", (q,), 1.3 - 0.2 * q, None, 0.5 + q) for q in range(N_QUBITS)]
    final = [gate_triple("ry", (q,), 0.9 + 0.1 * q) for q in range(N_QUBITS)]
    return build_gate_list(N_QUBITS, [*before, middle, *after, *final])


def entangled_pair() -> GateList:
    """Two entangled qubits with one free angle; the same circuit for many checks, as compiling one takes time."""
    return build_gate_list(2, [gate_triple("ry", (0,), None), gate_triple("cx", (0, 1)), gate_triple("ry", (1,), 0.4)])


def angles_for(gates: GateList, rows: int, *, seed: int = 1) -> FloatArray:
    """Random angles, ``(rows, D)``."""
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (rows, gates.n_columns))


def block_of(
    gates: GateList,
    angles: FloatArray,
    *,
    shots: int | None,
    basis: Sequence[int] | None = None,
    masks: UIntArray | None = None,
    sums: PauliSums | None = None,
    stream: int = 11,
    shot_offset: int = 0,
) -> RowBlock:
    """A block whose rows have the ordinals 0, 1, 2 … of one stream; estimated if it has sums."""
    letters = np.array([Z] * gates.n_qubits if basis is None else basis, dtype=np.uint8)
    samples = None
    if shots is not None:
        rows = len(angles)
        streams, ordinals = np.full(rows, stream, dtype=np.uint64), np.arange(rows, dtype=np.uint64)
        samples = Samples(streams, ordinals, shots, shot_offset)
    return RowBlock(gates, Measurement(letters, shots is None, masks, sums), angles, samples)


def rows_of(block: RowBlock, rows: Sequence[int]) -> RowBlock:
    """Some rows of a block, with their streams."""
    return block.take(np.asarray(rows))


def with_shots(block: RowBlock, shots: int, *, offset: int = 0) -> RowBlock:
    """A sampled block with another number of shots, from ``offset`` on."""
    assert block.samples is not None
    return replace(block, samples=replace(block.samples, shots=shots, offset=offset))


def too_large(backend: Backend) -> GateList:
    """A circuit with one qubit more than the backend holds."""
    return build_gate_list(backend.capabilities.max_qubits + 1, [gate_triple("h", (0,))])


def counts_of(result: BlockResult) -> Counts:
    """The counts of a sampled block."""
    assert result.counts is not None
    return result.counts


def values_of(result: BlockResult) -> FloatArray:
    """The values of an exact block."""
    assert result.values is not None
    return result.values


def sums_of(*observables: str, n_qubits: int) -> PauliSums:
    """The sums of these observables, in their order."""
    return sum_observables(tuple(map(parse_observable, observables)), n_qubits).sums


def estimates_of(result: BlockResult) -> tuple[FloatArray, FloatArray]:
    """The values and variances of an estimated block."""
    assert result.values is not None
    assert result.variances is not None
    return result.values, result.variances


def assert_same_counts(first: Counts, second: Counts) -> None:
    """Bit-equal histograms."""
    assert np.array_equal(first.offsets, second.offsets)
    assert np.array_equal(first.outcomes, second.outcomes)
    assert np.array_equal(first.counts, second.counts)


def lag_one(samples: FloatArray) -> float:
    """The correlation of neighbours."""
    centred = samples - samples.mean()
    return float((centred[:-1] * centred[1:]).sum() / (centred**2).sum())


class BackendConformance:
    """The shared checks; ``make_backend`` and ``execute`` are the subclass's.

    ``is_ideal``: without noise, so that the reference simulator must agree. ``is_seeded``: samples are a function
    of stream, ordinal and shot. ``continues_streams``: a top-up gives bit for bit the rest of the larger sample.
    """

    is_ideal = True
    is_seeded = True
    continues_streams = True
    shots = 4_096
    n_compared = 400
    """Rows of each of the samples that are compared for independence."""
    _ordinals = itertools.count()

    def make_backend(self) -> Backend:
        """A fresh backend; the suite closes it."""
        raise NotImplementedError

    async def execute(self, backend: Backend, request: JobRequest) -> JobResult:
        """The verified results of one job on an open backend."""
        raise NotImplementedError

    async def run_blocks(self, backend: Backend, *blocks: RowBlock) -> tuple[BlockResult, ...]:
        """The results of one job with these blocks; none of its rows may be lost."""
        result = await self.execute(backend, JobRequest(self._new_job_id(), blocks))
        assert not result.lost
        return result.blocks

    def _new_job_id(self) -> str:
        return f"conformance/0.0.{next(self._ordinals)}"

    def run(self, *blocks: RowBlock) -> tuple[BlockResult, ...]:
        """The results of one job with these blocks, on a fresh backend."""
        return self.drive(lambda backend: self.run_blocks(backend, *blocks))

    def drive(self, work: Callable[[Backend], Awaitable[T]]) -> T:
        """Run ``work`` on a fresh backend in an event loop of its own, and close it."""

        async def main() -> T:
            backend = self.make_backend()
            try:
                await backend.open()
                return await work(backend)
            finally:
                await backend.close()

        return asyncio.run(main())

    def block(self, gates: GateList, angles: FloatArray, *, shots: int) -> RowBlock:
        """Rows that the backend takes: sampled, or estimated of the parity of all qubits and of one in X."""
        if not self.make_backend().capabilities.estimates:
            return block_of(gates, angles, shots=shots)
        parity = " ".join(f"Z{qubit}" for qubit in range(gates.n_qubits))
        return block_of(gates, angles, shots=shots, sums=sums_of(parity, "X0", n_qubits=gates.n_qubits))

    def need(self, *, exact: bool = False, samples: bool = False) -> None:
        """Skip if the backend does not offer what a test is about."""
        offered = self.make_backend().capabilities
        if (exact and not offered.exact) or (samples and not offered.samples):
            pytest.skip("the backend does not offer this")

    def need_ideal(self) -> None:
        """Skip under noise."""
        if not self.is_ideal:
            pytest.skip("noise changes the distribution")

    def need_seeded(self) -> None:
        """Skip if samples have no seed."""
        if not self.is_seeded:
            pytest.skip("the backend's samples are not seeded")

    def test_qubit_zero_is_the_lowest_bit(self) -> None:
        """X on qubit 0 of three is seen as the outcome 001, X on qubit 2 as 100."""
        self.need(samples=True)
        circuits = [build_gate_list(N_QUBITS, [gate_triple("x", (qubit,))]) for qubit in (0, 2)]
        blocks = [block_of(gates, np.zeros((1, 0)), shots=200) for gates in circuits]
        result = self.run(*blocks)
        for block, expected in zip(result, ("001", "100"), strict=True):
            seen = counts_of(block).row(0)
            assert max(seen, key=lambda outcome: seen[outcome]) == expected
            if self.is_ideal:
                assert seen == {expected: 200}

    def test_every_gate_agrees_exactly_with_the_reference(self) -> None:
        """Exact probabilities of every gate, at free and at fixed angles, are those of the independent simulator."""
        self.need(exact=True)
        self.need_ideal()
        circuits = [circuit_of_gate(gate, angle=angle) for angle in (None, 2.1) for gate in GATES]
        blocks = [block_of(gates, angles_for(gates, 3), shots=None) for gates in circuits]
        result = self.run(*blocks)
        for gate, block, part in zip(GATES * 2, blocks, result, strict=True):
            wanted = reference_probabilities(block.gates, block.angles, basis=block.measurement.basis)
            np.testing.assert_allclose(values_of(part), wanted, atol=1e-9, rtol=0, err_msg=gate.name)

    def test_samples_of_every_gate_follow_the_reference(self) -> None:
        """Histograms of every gate pass a chi-square test against the independent simulator."""
        self.need(samples=True)
        self.need_ideal()
        circuits = [circuit_of_gate(gate) for gate in GATES]
        blocks = [block_of(gates, angles_for(gates, 2), shots=self.shots) for gates in circuits]
        result = self.run(*blocks)
        for gate, block, part in zip(GATES, blocks, result, strict=True):
            wanted = reference_probabilities(block.gates, block.angles, basis=block.measurement.basis)
            for row, histogram in enumerate(counts_of(part).dense()):
                assert chi_square_sigmas(histogram, wanted[row]) < MAX_SIGMAS, gate.name

    def test_other_bases_are_rotated_to(self) -> None:
        """A qubit measured in X or Y gives the probabilities of that basis, exactly and sampled."""
        self.need_ideal()
        offered = self.make_backend().capabilities
        gates = circuit_of_gate(GATES_BY_NAME["crx"])
        angles = angles_for(gates, 2)
        for basis in ([X, Y, Z], [Y, X, X]):
            wanted = reference_probabilities(gates, angles, basis=np.array(basis, dtype=np.uint8))
            if offered.exact:
                exact = block_of(gates, angles, shots=None, basis=basis)
                part = self.run(exact)[0]
                np.testing.assert_allclose(values_of(part), wanted, atol=1e-9, rtol=0)
            if offered.samples:
                sampled = block_of(gates, angles, shots=self.shots, basis=basis)
                part = self.run(sampled)[0]
                for row, histogram in enumerate(counts_of(part).dense()):
                    assert chi_square_sigmas(histogram, wanted[row]) < MAX_SIGMAS

    def test_parities_are_those_of_the_probabilities(self) -> None:
        """Exact parities, the empty and the full mask included, are sums over the exact probabilities."""
        self.need(exact=True)
        gates = circuit_of_gate(GATES_BY_NAME["ryy"])
        angles = angles_for(gates, 4)
        masks = np.array([0, 1, 4, 5, 7], dtype=np.uint64)
        both = (block_of(gates, angles, shots=None), block_of(gates, angles, shots=None, masks=masks))
        probabilities, parities = self.run(*both)
        wanted = reference_parities(values_of(probabilities), masks)
        np.testing.assert_allclose(values_of(parities), wanted, atol=1e-9, rtol=0)

    def test_packing_changes_no_bit(self) -> None:
        """The same rows in one job, in many, or in another order give bit-equal counts."""
        self.need(samples=True)
        self.need_seeded()
        gates = circuit_of_gate(GATES_BY_NAME["rzx"])
        block = block_of(gates, angles_for(gates, 6), shots=500)

        async def work(backend: Backend) -> None:
            whole = counts_of((await self.run_blocks(backend, block))[0])
            singles = await asyncio.gather(*(self.run_blocks(backend, rows_of(block, [row])) for row in range(6)))
            order = [4, 0, 5, 2, 1, 3]
            mixed = [rows_of(block, order[:4]), rows_of(block, order[4:])]
            halves = await self.run_blocks(backend, *mixed)
            for row, single in enumerate(singles):
                assert_same_counts(whole.take([row]), counts_of(single[0]))
            assert_same_counts(whole.take(order[:4]), counts_of(halves[0]))
            assert_same_counts(whole.take(order[4:]), counts_of(halves[1]))

        self.drive(work)

    def test_a_top_up_continues_the_stream(self) -> None:
        """512 shots and 512 more at the offset 512 are the 1,024 shots of one sample; odd splits too."""
        self.need(samples=True)
        if not self.continues_streams:
            pytest.skip("the backend's top-ups are independent samples")
        gates = circuit_of_gate(GATES_BY_NAME["cry"])
        angles = angles_for(gates, 3)

        async def work(backend: Backend) -> None:
            whole = counts_of((await self.run_blocks(backend, block_of(gates, angles, shots=1_024)))[0])
            for split in (512, 333, 1_023):
                first = block_of(gates, angles, shots=split)
                rest = block_of(gates, angles, shots=1_024 - split, shot_offset=split)
                jobs = [(first, rest)] if backend.capabilities.mixes_shots else [(first,), (rest,)]
                parts = [part for blocks in jobs for part in await self.run_blocks(backend, *blocks)]
                assert np.array_equal(sum(counts_of(part).dense() for part in parts), whole.dense())

        self.drive(work)

    def test_other_streams_ordinals_and_offsets_are_independent(self) -> None:
        """Equal rows under other names, or further on in their stream, are uncorrelated samples."""
        self.need(samples=True)
        gates = build_gate_list(1, [gate_triple("ry", (0,), None)])
        angles = np.full((self.n_compared, 1), np.pi / 2)
        blocks = [
            block_of(gates, angles, shots=256),
            block_of(gates, angles, shots=256, stream=12),
            block_of(gates, angles, shots=256, shot_offset=256),
        ]
        result = self.run(*blocks)
        ones = np.stack([counts_of(part).dense()[:, 1] for part in result])
        pairs = ((0, 1), (0, 2), (1, 2))
        correlations = [float(np.corrcoef(ones[a], ones[b])[0, 1]) for a, b in pairs]
        assert np.abs([*correlations, lag_one(ones[0])]).max() < MAX_SIGMAS / np.sqrt(self.n_compared)
        spread = ones.var(axis=1) / (256 * 0.25)
        assert self.is_ideal is False or np.abs(spread - 1.0).max() < MAX_SIGMAS * np.sqrt(2 / (self.n_compared - 1))

    def test_equal_seeds_give_equal_samples(self) -> None:
        """Another backend, opened anew, gives the same bits for the same streams."""
        self.need(samples=True)
        self.need_seeded()
        gates = circuit_of_gate(GATES_BY_NAME["u"])
        block = block_of(gates, angles_for(gates, 2), shots=300)
        first, second = (self.run(block)[0] for _ in range(2))
        assert_same_counts(counts_of(first), counts_of(second))

    def test_too_many_qubits_are_refused_by_the_check(self) -> None:
        """One qubit more than the backend holds is a CircuitError that says how many qubits the circuit has."""

        async def work(backend: Backend) -> None:
            gates = too_large(backend)
            with pytest.raises(CircuitError, match=f"{gates.n_qubits} qubits"):
                backend.check(gates, self.block(gates, np.zeros((1, 0)), shots=10).measurement)

        self.drive(work)

    def test_limits_and_context_are_sound(self) -> None:
        """Jobs have from one to the allowed number of rows; the context is 32 bytes, and repeatable."""
        gates = build_gate_list(2, [gate_triple("h", (0,)), gate_triple("cx", (0, 1))])
        measurement = self.block(gates, np.zeros((1, 0)), shots=1_000).measurement

        async def work(backend: Backend) -> bytes:
            await backend.prepare([gates])
            await backend.prepare([gates])
            rows = backend.rows_per_job(gates, measurement, shots=1_000)
            assert 1 <= rows <= backend.capabilities.max_rows_per_job
            return backend.context(gates)

        first, second = self.drive(work), self.drive(work)
        assert len(first) == 32
        assert first == second

    def test_encoding_is_repeatable(self) -> None:
        """The same request and key give the same bytes, and the payload names both."""
        self.need(samples=True)
        gates = circuit_of_gate(GATES_BY_NAME["cz"])

        async def work(backend: Backend) -> None:
            n_rows = min(2, backend.capabilities.max_rows_per_job)
            request = JobRequest(self._new_job_id(), (block_of(gates, angles_for(gates, n_rows), shots=10),))
            await backend.prepare([gates])
            first, second = (backend.encode(request, key="0" * 64) for _ in range(2))
            assert (first.content, first.digest) == (second.content, second.digest)
            assert first.request is request
            assert first.key == "0" * 64

        self.drive(work)

    def test_closing_twice_is_harmless(self) -> None:
        """The second close does nothing."""

        async def work(backend: Backend) -> None:
            await backend.close()
            await backend.close()

        self.drive(work)
