"""The results of a job as a frame, and read from one: what backends in this process answer with."""

from collections.abc import Iterator, Sequence
from typing import Literal

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray
from qorch.model.counts import Counts
from qorch.model.job import JobResult, JobShape
from qorch.model.measurement import BlockResult, BlockShape
from qorch_providers.frames import Answer, Buffer, decode_frame, encode_frame


def encode_answer(
    job_id: str, results: Sequence[BlockResult], *, started_ns: int | None = None, ended_ns: int | None = None
) -> list[Buffer]:
    """The frame of one BlockResult after the other, in pieces; the arrays are not copied."""
    kinds: list[Literal["counts", "values"]] = []
    arrays: list[AnyArray] = []
    for result in results:
        if result.counts is not None:
            kinds.append("counts")
            arrays += (result.counts.outcomes, result.counts.counts, result.counts.offsets)
        elif result.values is not None:
            kinds.append("values")
            arrays.append(result.values)
    return encode_frame(Answer(job_id, tuple(kinds), started_ns, ended_ns), arrays)


def read_answer(shape: JobShape, content: bytes) -> JobResult:
    """One result per block; the arrays are views of ``content``. Raises InvalidResultError if it cannot be read.

    Whether the results can be those of the job is for ``qorch.model.verification``.
    """
    message, arrays = decode_frame(content)
    if not isinstance(message, Answer) or message.job_id != shape.job_id:
        raise InvalidResultError(f"job {shape.job_id}: this is not the answer to it; run it again")
    if len(message.kinds) != len(shape.blocks):
        raise InvalidResultError(f"job {shape.job_id}: expected {len(shape.blocks)} blocks, found {len(message.kinds)}")
    if sum(3 if kind == "counts" else 1 for kind in message.kinds) != len(arrays):
        raise InvalidResultError(
            f"job {shape.job_id}: its answer has {len(arrays)} arrays, which do not fit its blocks"
        )
    rest = iter(arrays)
    return JobResult(
        tuple(_read_block(block, kind, rest) for block, kind in zip(shape.blocks, message.kinds, strict=True))
    )


def _read_block(block: BlockShape, kind: str, arrays: Iterator[AnyArray]) -> BlockResult:
    if kind == "values":
        return BlockResult(values=next(arrays))
    return BlockResult(counts=Counts(block.n_qubits, next(arrays), next(arrays), next(arrays)))
