"""From a kept answer to verified results: circuits paired with rows by child id, and shares turned into shots. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import AnyArray, FloatArray, IntArray
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.job import BlockShape, JobResult, JobShape, RawResult, RemoteState
from qorch.model.measurement import BlockResult
from qorch_providers.ionq.answers import decode_answer
from qorch_providers.ionq.distributions import Distribution, DistributionReader, Text, reader_of, split_children
from qorch_providers.ionq.documents import IonqJob, decode_job
from qorch_providers.ionq.draws import draw_counts, nearest_counts, whole_counts
from qorch_providers.ionq.options import Options
from qorch_providers.streams import RowStream

_LOST = (RemoteState.FAILED, RemoteState.CANCELLED)


def read_answer(shape: JobShape, raw: RawResult, *, options: Options) -> JobResult:
    """The results of a job's blocks, and the rows that failed at IonQ.

    Ideal simulator: the probabilities are exact, and shots are drawn here, each row from its own stream. Elsewhere
    probability times shots must be whole within 0.01; only with debiasing it is rounded (see ``nearest_counts``).
    Raises InvalidResultError, and nothing else, where anything is amiss: then no row is believed.
    """
    documents = decode_answer(raw.content)
    if not documents:
        raise InvalidResultError(f"job {shape.job_id}: the answer has no documents; fetch it again")
    job = decode_job(bytes(documents[0]), version=options.version)
    bodies = iter(_row_bodies(shape, job, documents, version=options.version))
    sampler = _Sampler(RowStream(), options)
    blocks, lost = [], []
    for index, block in enumerate(shape.blocks):
        rows = [next(bodies) for _ in range(block.n_rows)]
        try:
            blocks.append(_read_block(block, rows, sampler))
        except InvalidResultError as error:
            raise InvalidResultError(f"job {shape.job_id} ({job.job_id}), block {index}, {error}") from error
        lost.append(np.array([row for row, body in enumerate(rows) if body is None], dtype=np.int64))
    return JobResult(tuple(blocks), tuple(lost) if any(len(rows) for rows in lost) else ())


def _row_bodies(shape: JobShape, job: IonqJob, documents: list[memoryview], *, version: str) -> list[Text | None]:
    """The JSON of every row's probabilities in the order of the rows, None where the row failed."""
    if job.status.state not in (RemoteState.DONE, *_LOST):
        raise InvalidResultError(f"job {job.job_id} is not over; fetch its results when it is")
    probabilities: Text = documents[1] if len(documents) % 2 == 0 else b""
    pairs = documents[2 - len(documents) % 2 :]
    if not job.child_ids and (shape.n_rows == 1 or job.status.state in _LOST):
        return _lone_body(shape, job, probabilities)
    if len(job.child_ids) != shape.n_rows:
        raise InvalidResultError(f"job {job.job_id} has {len(job.child_ids)} circuits; {shape.n_rows} were sent")
    whole = split_children(probabilities, most=shape.n_rows) if probabilities else {}
    if not whole.keys() <= set(job.child_ids):
        raise InvalidResultError(f"the results of job {job.job_id} name circuits that it does not have")
    single = _read_pairs(job, pairs, version=version)
    return [_child_body(child, single, whole) for child in job.child_ids]


def _lone_body(shape: JobShape, job: IonqJob, probabilities: Text) -> list[Text | None]:
    """A job without children: its one circuit, or nothing at all where it failed."""
    if job.status.state in _LOST:
        return [None] * shape.n_rows
    if not probabilities:
        raise InvalidResultError(f"job {job.job_id} is done and has no probabilities; fetch it again")
    return [probabilities]


def _read_pairs(job: IonqJob, pairs: Sequence[memoryview], *, version: str) -> dict[str, Text | None]:
    """By child id: its own probabilities, b"" where they were not fetched, None where it failed."""
    single: dict[str, Text | None] = {}
    for document, body in zip(pairs[::2], pairs[1::2], strict=True):
        child = decode_job(bytes(document), version=version)
        if child.job_id not in job.child_ids or child.job_id in single:
            raise InvalidResultError(f"job {child.job_id} is no child of {job.job_id}, or is there twice")
        if child.status.state not in (RemoteState.DONE, *_LOST):
            raise InvalidResultError(f"job {child.job_id} is not over; fetch its results when it is")
        single[child.job_id] = None if child.status.state in _LOST else body
    return single


def _child_body(child: str, single: dict[str, Text | None], whole: dict[str, Text]) -> Text | None:
    own = single.get(child, b"")
    if own is None:
        return None
    body = own or whole.get(child, b"")
    if not body:
        raise InvalidResultError(f"the results lack the circuit {child}; fetch them again")
    return body


@dataclass(frozen=True, eq=False)
class _Sampler:
    """Turns distributions into counts as the target wants it."""

    stream: RowStream
    options: Options

    def counts(self, distribution: Distribution, block: BlockShape, row: int) -> IntArray:
        """How often each outcome of the distribution was seen."""
        shots = block.shots
        if shots is None:
            raise InvalidResultError("no number of shots is known")
        if self.options.is_ideal:
            uniforms = self.stream.draw(
                int(block.streams[row]), int(block.ordinals[row]), offset=block.shot_offset, shots=shots
            )
            return draw_counts(distribution, uniforms)
        try:
            return whole_counts(distribution, shots=shots)
        except InvalidResultError:
            if not self.options.debiasing:
                raise
            return nearest_counts(distribution, shots=shots)


def _read_block(block: BlockShape, rows: list[Text | None], sampler: _Sampler) -> BlockResult:
    """The rows that are there; the error of a bad one begins with its number."""
    distributions = _read_rows(rows, reader_of(block.n_qubits))
    if block.measurement.is_exact:
        if not sampler.options.is_ideal:
            raise InvalidResultError("exact values were asked for; only the ideal simulator has them")
        return BlockResult(values=_exact_values(block, [distribution for _, distribution in distributions]))
    outcome_type = smallest_unsigned((1 << block.n_qubits) - 1)
    count_type = smallest_unsigned(block.shots or 0)
    pieces = []
    for row, distribution in distributions:
        try:
            counts = sampler.counts(distribution, block, row)
        except InvalidResultError as error:
            raise InvalidResultError(f"row {row}: {error}") from error
        seen = counts > 0
        # Small types at once: what all rows of a job have together is then a fraction.
        pieces.append((distribution.outcomes[seen].astype(outcome_type), counts[seen].astype(count_type)))
    return BlockResult(counts=_pack(pieces, n_qubits=block.n_qubits))


def _read_rows(rows: list[Text | None], reader: DistributionReader) -> Iterator[tuple[int, Distribution]]:
    for row, body in enumerate(rows):
        if body is None:
            continue
        try:
            yield row, reader.read(body)
        except InvalidResultError as error:
            raise InvalidResultError(f"row {row}: {error}") from error


def _pack(pieces: list[tuple[AnyArray, AnyArray]], *, n_qubits: int) -> Counts:
    outcome_type = smallest_unsigned((1 << n_qubits) - 1)
    outcomes = np.concatenate([np.empty(0, dtype=outcome_type), *(piece[0] for piece in pieces)])
    counts = np.concatenate([np.empty(0, dtype=np.uint8), *(piece[1] for piece in pieces)])
    return Counts(
        n_qubits,
        outcomes,
        counts.astype(smallest_unsigned(int(counts.max(initial=0)))),
        np.concatenate(([0], np.cumsum([len(piece[0]) for piece in pieces]))).astype(np.int64),
    )


def _exact_values(block: BlockShape, distributions: list[Distribution]) -> FloatArray:
    """Probabilities or parities ``(R, M)``, divided by the sum of what was sent, which rounding keeps from being 1."""
    masks = block.measurement.masks
    values = np.zeros((len(distributions), block.measurement.n_values))
    for row, distribution in enumerate(distributions):
        shares = distribution.probabilities / distribution.probabilities.sum()
        if masks is None:
            values[row, distribution.outcomes.astype(np.int64)] = shares
            continue
        odd = np.bitwise_count(distribution.outcomes[np.newaxis, :] & masks[:, np.newaxis]) % 2
        values[row] = (1.0 - 2.0 * odd) @ shares
    return values
