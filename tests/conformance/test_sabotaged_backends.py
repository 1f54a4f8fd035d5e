"""The conformance suite of backends in this process catches wrong adapters, each by the check that is for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest

from qorch.errors import QorchError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, JobResult, JobShape, Payload, RawResult
from qorch.model.measurement import BlockResult, Measurement, RowBlock
from qorch.model.pub import Pub
from qorch.ports.backend import Backend
from qorch.testing.conformance.backend import block_of
from qorch.testing.conformance.in_process import InProcessConformance
from qorch.testing.fakes.backend import FREE, FakeBackend


class OtherBlocks(FakeBackend):
    """Runs other blocks than it was asked for."""

    def change(self, block: RowBlock) -> RowBlock:
        """The block that is run instead."""
        raise NotImplementedError

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        request = payload.request
        blocks = tuple(self.change(block) for block in request.blocks)
        return await super().run(replace(payload, request=replace(request, blocks=blocks)))


class ReversedQubits(OtherBlocks):
    """Takes the highest qubit for the lowest bit."""

    def change(self, block: RowBlock) -> RowBlock:
        """The gates on the qubits in the opposite order."""
        qubits = block.gates.qubits
        turned = np.where(qubits < 0, qubits, block.gates.n_qubits - 1 - qubits).astype(np.int16)
        return replace(block, gates=replace(block.gates, qubits=turned))


class AlwaysInZ(OtherBlocks):
    """Forgets the rotations into another basis."""

    def change(self, block: RowBlock) -> RowBlock:
        """The same in the computational basis."""
        measurement = replace(block.measurement, basis=np.zeros_like(block.measurement.basis))
        return replace(block, measurement=measurement)


class OneStream(OtherBlocks):
    """Draws every block from the beginning of one and the same stream."""

    def change(self, block: RowBlock) -> RowBlock:
        """The block without what names its samples."""
        measurement = block.measurement
        return block_of(
            block.gates, block.angles, shots=block.shots, basis=measurement.basis.tolist(), masks=measurement.masks
        )


class HalfAngles(OtherBlocks):
    """Sends half of every angle, as to a device with another unit."""

    def change(self, block: RowBlock) -> RowBlock:
        """Half of the angles."""
        return replace(block, angles=block.angles / 2)


class LosesTheLastRow(FakeBackend):
    """Reads one row less than there are."""

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        blocks = super().read(shape, raw).blocks
        return JobResult(tuple(block.take(np.arange(block.n_rows - 1)) for block in blocks))


@dataclass(eq=False)
class ReadsFromMemory(FakeBackend):
    """Keeps the first results that it read, and never looks at an answer again."""

    kept: dict[str, tuple[BlockResult, ...]] = field(default_factory=dict)

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        if shape.job_id not in self.kept:
            self.kept[shape.job_id] = super().read(shape, raw).blocks
        return JobResult(self.kept[shape.job_id])


class CannotBeStopped(FakeBackend):
    """Goes on with a job whose call was cancelled, and answers as if nothing had happened."""

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        job = asyncio.ensure_future(super().run(payload))
        while not job.done():
            try:
                await asyncio.shield(job)
            except asyncio.CancelledError:
                continue
        return job.result()


class StopsTheOthersToo(FakeBackend):
    """Gives up every job of the process if one is cancelled."""

    is_broken = False

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.is_broken = True
            raise
        if self.is_broken:
            raise asyncio.CancelledError
        return await super().run(payload)


class TakesEverything(FakeBackend):
    """Checks nothing."""

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        if payload.request.blocks[0].gates.n_qubits > self.capabilities.max_qubits:
            return RawResult(b"")
        return await super().run(payload)


CALLS = count()


class NeverTheSame(FakeBackend):
    """Has another context, and other bytes for the same job, whenever it is asked."""

    def context(self, gates: GateList) -> bytes:
        """See Backend."""
        return next(CALLS).to_bytes(32, "big")

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend."""
        return Payload(request, key, content=str(next(CALLS)).encode())


class NoGradients(FakeBackend):
    """Says that it has exact gradients, and answers with zeros."""

    def vjp(self, pub: Pub, cotangents: FloatArray, *, check: Callable[[], None]) -> FloatArray:
        """See ExactGradients."""
        return np.zeros_like(pub.parameter_values)


SABOTAGES: list[tuple[type[FakeBackend], str]] = [
    (ReversedQubits, "test_qubit_zero_is_the_lowest_bit"),
    (HalfAngles, "test_every_gate_agrees_exactly_with_the_reference"),
    (HalfAngles, "test_samples_of_every_gate_follow_the_reference"),
    (AlwaysInZ, "test_other_bases_are_rotated_to"),
    (OneStream, "test_a_top_up_continues_the_stream"),
    (OneStream, "test_other_streams_ordinals_and_offsets_are_independent"),
    (OneStream, "test_packing_changes_no_bit"),
    (LosesTheLastRow, "test_qubit_zero_is_the_lowest_bit"),
    (ReadsFromMemory, "test_damaged_answers_are_refused"),
    (CannotBeStopped, "test_a_cancelled_call_ends_and_others_go_on"),
    (StopsTheOthersToo, "test_a_cancelled_call_ends_and_others_go_on"),
    (TakesEverything, "test_too_many_qubits_are_refused_by_the_check"),
    (TakesEverything, "test_too_many_qubits_are_rejected_by_run"),
    (NeverTheSame, "test_limits_and_context_are_sound"),
    (NeverTheSame, "test_encoding_is_repeatable"),
    (NoGradients, "test_exact_gradients_are_those_of_the_reference"),
]


@pytest.mark.parametrize(("sabotage", "check"), SABOTAGES, ids=lambda value: getattr(value, "__name__", value))
def test_a_sabotaged_backend_fails_the_suite(sabotage: type[FakeBackend], check: str) -> None:
    """The check that a mistake is named beside does not pass; the honest fake passes it in its own tests."""

    class Sabotaged(InProcessConformance):
        def make_backend(self) -> Backend:
            return sabotage(capabilities=replace(FREE, exact_gradients=sabotage is NoGradients))

    with pytest.raises((AssertionError, QorchError, pytest.fail.Exception, asyncio.CancelledError)):
        getattr(Sabotaged(), check)()
