"""Job requests as frames: the pool encodes them, a worker reads them. Gate lists travel once per worker."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from qorch.model.arrays import AnyArray
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.samples import Samples
from qorch_providers.aer.frames import BlockSpec, Buffer, GatesSpec, RunJob, encode_frame

MAX_KNOWN_GATES = 128


class KnownGates:
    """Which gate lists a worker keeps: the most recently used. The pool decides, the worker obeys."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def use(self, request: JobRequest) -> tuple[list[GateList], list[bytes]]:
        """The gate lists that must be sent with this request, and the digests to forget afterwards."""
        needed = {block.gates.digest: block.gates for block in request.blocks}
        missing = [gates for digest, gates in needed.items() if digest not in self._digests]
        for digest in needed:
            self._digests[digest] = None
            self._digests.move_to_end(digest)
        surplus = max(0, len(self._digests) - max(MAX_KNOWN_GATES, len(needed)))
        return missing, [self._digests.popitem(last=False)[0] for _ in range(surplus)]


def encode_request(request: JobRequest, *, known: KnownGates, threads: int) -> list[Buffer]:
    """The frame of a job, for the worker that knows ``known``."""
    missing, forget = known.use(request)
    arrays: list[AnyArray] = []
    for gates in missing:
        arrays += (gates.opcodes, gates.qubits, gates.columns, gates.constants)
    for block in request.blocks:
        arrays += (block.measurement.basis, block.angles)
        if block.samples is not None:
            arrays += (block.samples.streams, block.samples.ordinals)
        if block.measurement.masks is not None:
            arrays.append(block.measurement.masks)
    learn = tuple(GatesSpec(gates.digest, gates.n_qubits) for gates in missing)
    blocks = tuple(_spec(block) for block in request.blocks)
    return encode_frame(RunJob(request.job_id, threads, tuple(forget), learn, blocks), arrays)


def _spec(block: RowBlock) -> BlockSpec:
    measurement = block.measurement
    has_masks = measurement.masks is not None
    offset = 0 if block.samples is None else block.samples.offset
    return BlockSpec(block.gates.digest, has_masks, block.shots, offset)


def read_gates(job: RunJob, arrays: Iterator[AnyArray]) -> dict[bytes, GateList]:
    """The gate lists that a job teaches, taken from its arrays."""
    return {spec.digest: GateList(spec.n_qubits, *(next(arrays) for _ in range(4))) for spec in job.learn}


def read_blocks(job: RunJob, arrays: Iterator[AnyArray], *, gates: Mapping[bytes, GateList]) -> list[RowBlock]:
    """The blocks of a job, taken from its arrays after the gate lists."""
    blocks = []
    for spec in job.blocks:
        basis, angles = next(arrays), next(arrays)
        samples = None if spec.shots is None else Samples(next(arrays), next(arrays), spec.shots, spec.offset)
        masks = next(arrays) if spec.has_masks else None
        blocks.append(RowBlock(gates[spec.gates], Measurement(basis, samples is None, masks), angles, samples))
    return blocks
