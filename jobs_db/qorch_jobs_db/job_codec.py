"""The codec of plans and raw answers: records to sealed bytes and back. Pure."""

import datetime as dt
import zlib
from collections.abc import Sequence

import numpy as np
import zstandard

from qorch.model.arrays import AnyArray, freeze
from qorch.model.measurement import Measurement
from qorch.model.pauli_sums import PauliSums
from qorch.ports.records import BlockPlan, BlockRows, JobPlan, RawRecord
from qorch_jobs_db.blocks import pack, read_samples, seal, shrink, stream_arrays, unpack, unseal

_ARRAYS_PER_BLOCK = 9
_NUMBERS_OF_SAMPLED = 6
"""Entries of a block's first array; one more if its sums follow the arrays that every block has."""
_ARRAYS_PER_SUMS = 3
_NEXT_STEP = "restore a backup, or look the job up at its provider"
ANSWER_CODEC = "zstd"
"""What answers are compressed with. They were with "zlib" up to revision 0005, and those are still read."""
# For 19 kB of JSON (1,024 shots of 8 qubits) Zstandard's level 1 takes 35 µs and leaves 2.7 kB; zlib's level 1 takes
# 160 µs and leaves 3.5 kB; Zstandard's higher levels take longer and leave hardly less.
_ZSTD_LEVEL = 1
_OLDER_CODEC = "zlib"


def encode_plan(plan: JobPlan) -> bytes:
    """Seal the blocks of a plan; the seal covers job and run as well."""
    parts = list(pack(np.array([len(plan.blocks)], dtype=np.int64)))
    for block in plan.blocks:
        for array in _arrays(block):
            parts += pack(array)
    return seal(parts, label=_label("plan", plan.job_id, plan.run_id))


def decode_plan(content: bytes, *, job_id: str, run_id: str) -> JobPlan:
    """Verify and open what ``encode_plan`` made. Raises StoreCorruptError naming the job."""
    label = _label("plan", job_id, run_id)
    payload = unseal(content, label=label, name=f"the plan of job '{job_id}'", next_step=_NEXT_STEP)
    (count,), offset = unpack(payload, 0, count=1)
    blocks = []
    for _ in range(int(count[0])):
        arrays, offset = unpack(payload, offset, count=_ARRAYS_PER_BLOCK)
        sums = None
        if len(arrays[0]) > _NUMBERS_OF_SAMPLED:
            parts, offset = unpack(payload, offset, count=_ARRAYS_PER_SUMS)
            sums = PauliSums(*parts)
        blocks.append(_block(arrays, sums))
    return JobPlan(job_id, run_id, tuple(blocks))


def encode_answer(record: RawRecord, *, received_at: str) -> bytes:
    """Compress with ``ANSWER_CODEC`` and seal a provider's answer; the seal covers all of the record."""
    label = _answer_label(record.job_id, record.run_id, received_at, bool(record.is_quarantined), ANSWER_CODEC)
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    return seal([compressor.compress(record.content)], label=label)


def decode_answer(
    content: bytes, *, job_id: str, run_id: str, received_at: str, is_quarantined: bool, codec: str
) -> RawRecord:
    """Verify and open what ``encode_answer`` made, or zlib's of an older qorch.

    Raises StoreCorruptError naming the job.
    """
    label = _answer_label(job_id, run_id, received_at, is_quarantined, codec)
    payload = unseal(content, label=label, name=f"the answer to job '{job_id}'", next_step=_NEXT_STEP)
    decompress = zlib.decompress if codec == _OLDER_CODEC else zstandard.ZstdDecompressor().decompress
    moment = dt.datetime.fromisoformat(received_at)
    return RawRecord(job_id, run_id, decompress(payload), moment, is_quarantined)


def _answer_label(job_id: str, run_id: str, received_at: str, is_quarantined: bool, codec: str) -> bytes:
    """What the seal covers beside the content. The codec is part of it, except for the only one that there once was."""
    of_codec = () if codec == _OLDER_CODEC else (codec,)
    return _label("answer", job_id, run_id, received_at, is_quarantined, *of_codec)


def _label(*values: object) -> bytes:
    return repr(values).encode()


def _arrays(block: BlockPlan) -> Sequence[AnyArray]:
    measurement, rows = block.measurement, block.rows
    masks, samples, sums = measurement.masks, rows.samples, measurement.sums
    numbers = [
        rows.group,
        len(measurement.basis),
        -1 if samples is None else samples.shots,
        0 if samples is None else samples.offset,
        measurement.is_exact,
        masks is not None,
        *([] if sums is None else [1]),
    ]
    streams, ordinals = stream_arrays(samples, n_rows=len(rows))
    return (
        np.array(numbers, dtype=np.int64),
        np.frombuffer(rows.context, dtype=np.uint8),
        np.frombuffer(rows.gates_digest, dtype=np.uint8),
        measurement.basis,
        np.zeros(0, dtype=np.uint64) if masks is None else masks,
        shrink(rows.indices),
        rows.keys,
        shrink(streams),
        shrink(ordinals),
        *(() if sums is None else (sums.letters, sums.coefficients, sums.starts)),
    )


def _block(arrays: Sequence[AnyArray], sums: PauliSums | None) -> BlockPlan:
    numbers, context, gates_digest, basis, masks, _, keys, _, _ = arrays
    indices, streams, ordinals = (freeze(arrays[place].astype(np.uint64)) for place in (5, 7, 8))
    group, _, shots, offset, is_exact, has_masks = (int(number) for number in numbers[:_NUMBERS_OF_SAMPLED])
    rows = BlockRows(
        group=group,
        indices=indices,
        keys=freeze(keys),
        context=context.tobytes(),
        gates_digest=gates_digest.tobytes(),
        samples=read_samples(streams, ordinals, shots=None if shots < 0 else shots, offset=offset),
    )
    measurement = Measurement(freeze(basis), bool(is_exact), freeze(masks) if has_masks else None, sums)
    return BlockPlan(rows, measurement)
