"""Reads and verifies a stored answer: pairs circuits with rows by child id, and computes counts. Pure.

The engine verifies what every backend's results have in common (``qorch.model.verification``); this file checks what
only IonQ's answers have: children, probabilities that must be those of a histogram, and IonQ's rounding.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.arrays import FloatArray, IntArray, UIntArray
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.job import JobResult, JobShape, LostRows, RawResult, RemoteState
from qorch.model.measurement import BlockResult, BlockShape
from qorch.model.samples import Samples
from qorch_providers.ionq.options import Options
from qorch_providers.ionq.results.archive import decode_answer
from qorch_providers.ionq.results.distributions import (
    ROUNDING,
    TOLERANCE,
    Distribution,
    DistributionReader,
    Text,
    reader_of,
    split_children,
)
from qorch_providers.ionq.results.sampling import draw_counts, nearest_counts, whole_counts
from qorch_providers.ionq.wire.documents import IonqJob, decode_job
from qorch_providers.streams import RowStream

_NUMBERS_AT_ONCE = 1 << 15
_LOST = (RemoteState.FAILED, RemoteState.CANCELLED)


@dataclass(frozen=True)
class _Failure:
    """Why a row has no results."""

    reason: str
    is_repeatable: bool


def read_answer(shape: JobShape, raw: RawResult, *, options: Options) -> JobResult:
    """The results of a job's blocks, and the rows that failed at IonQ, by reason.

    Ideal simulator: the probabilities are exact, and shots are drawn here, each row from its own stream. Elsewhere
    probability times shots must be whole, apart from the server's rounding (see ``whole_counts``); only with debiasing
    it is rounded here (see ``nearest_counts``).
    Raises InvalidResultError, and nothing else, if anything is wrong: then no row is used.
    """
    documents = decode_answer(raw.content)
    if not documents:
        raise InvalidResultError(f"job {shape.job_id}: the answer has no documents; fetch it again")
    job = decode_job(bytes(documents[0]), version=options.version)
    bodies = iter(_row_bodies(shape, job, documents, version=options.version))
    blocks, lost = [], []
    for index, block in enumerate(shape.blocks):
        rows = [next(bodies) for _ in range(block.n_rows)]
        try:
            blocks.append(_read_block(block, rows, options))
        except InvalidResultError as error:
            raise InvalidResultError(f"job {shape.job_id} ({job.job_id}), block {index}, {error}") from error
        lost.append(_lost_rows(rows))
    return JobResult(tuple(blocks), tuple(lost) if any(lost) else ())


def _lost_rows(rows: Sequence[Text | _Failure]) -> tuple[LostRows, ...]:
    """The rows that failed, grouped by their failure."""
    places: dict[_Failure, list[int]] = {}
    for place, body in enumerate(rows):
        if isinstance(body, _Failure):
            places.setdefault(body, []).append(place)
    return tuple(
        LostRows(np.array(failed, dtype=np.int64), failure.reason, failure.is_repeatable)
        for failure, failed in places.items()
    )


def _row_bodies(shape: JobShape, job: IonqJob, documents: list[memoryview], *, version: str) -> list[Text | _Failure]:
    """The JSON of every row's probabilities in the order of the rows, or why the row failed."""
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


def _lone_body(shape: JobShape, job: IonqJob, probabilities: Text) -> list[Text | _Failure]:
    """The row of a job without children: the JSON of its one circuit, or its failure."""
    if job.status.state in _LOST:
        return [_failure_of(job)] * shape.n_rows
    if not probabilities:
        raise InvalidResultError(f"job {job.job_id} is done and has no probabilities; fetch it again")
    return [probabilities]


def _failure_of(job: IonqJob) -> _Failure:
    """Why a circuit failed, and whether it may be run again: that depends on the code.

    If there is no code it may: nothing that fails at IonQ is charged, so that trying once more costs nothing.
    """
    status = job.status
    told = status.error or f"{status.state.value} at IonQ without a reason"
    return _Failure(told, is_repeatable=status.is_repeatable or job.failure_code is None)


def _read_pairs(job: IonqJob, pairs: Sequence[memoryview], *, version: str) -> dict[str, Text | _Failure]:
    """By child id: its own probabilities, b"" if they were not fetched, or why it failed."""
    single: dict[str, Text | _Failure] = {}
    for document, body in zip(pairs[::2], pairs[1::2], strict=True):
        child = decode_job(bytes(document), version=version)
        if child.job_id not in job.child_ids or child.job_id in single:
            raise InvalidResultError(f"job {child.job_id} is not a child of {job.job_id}, or is there twice")
        if child.status.state not in (RemoteState.DONE, *_LOST):
            raise InvalidResultError(f"job {child.job_id} is not over; fetch its results when it is")
        single[child.job_id] = _failure_of(child) if child.status.state in _LOST else body
    return single


def _child_body(child: str, single: dict[str, Text | _Failure], whole: dict[str, Text]) -> Text | _Failure:
    own = single.get(child, b"")
    if isinstance(own, _Failure):
        return own
    body = own or whole.get(child, b"")
    if not body:
        raise InvalidResultError(f"the results lack the circuit {child}; fetch them again")
    return body


@dataclass(frozen=True, eq=False)
class _Row:
    """A row that did not fail, with its place in the block."""

    place: int
    distribution: Distribution

    @property
    def n_outcomes(self) -> int:
        """The number of outcomes with a probability."""
        return len(self.distribution.outcomes)


def _read_block(block: BlockShape, rows: list[Text | _Failure], options: Options) -> BlockResult:
    """The result of the rows that did not fail; the error of a bad row begins with its number."""
    found = _read_rows(rows, reader_of(block.n_qubits, tolerance=TOLERANCE if options.is_ideal else ROUNDING))
    samples = block.samples
    if samples is None:
        if not options.is_ideal:
            raise InvalidResultError("exact values were asked for; only the ideal simulator has them")
        return BlockResult(values=_exact_values(block, [row.distribution for row in found]))
    histograms = _drawn(samples, found) if options.is_ideal else _counted(found, samples.shots, options)
    return BlockResult(counts=_pack(histograms, n_qubits=block.n_qubits, shots=samples.shots))


def _drawn(samples: Samples, rows: Iterator[_Row]) -> Iterator[tuple[UIntArray, IntArray]]:
    """Outcomes and counts ``(B, E)`` of rows with the same number of outcomes, in groups that fit the cache."""
    stream, shots = RowStream(), samples.shots
    for n_outcomes, alike in groupby(rows, key=lambda row: row.n_outcomes):
        while chunk := list(islice(alike, max(1, _NUMBERS_AT_ONCE // max(shots, n_outcomes)))):
            words = np.empty((len(chunk), shots), dtype=np.uint32)
            for row, drawn in zip(chunk, words, strict=True):
                name, ordinal = int(samples.streams[row.place]), int(samples.ordinals[row.place])
                drawn[:] = stream.words(name, ordinal, offset=samples.offset, count=shots)
            probabilities = np.stack([row.distribution.probabilities for row in chunk])
            yield np.stack([row.distribution.outcomes for row in chunk]), draw_counts(probabilities, words)


def _counted(rows: Iterator[_Row], shots: int, options: Options) -> Iterator[tuple[UIntArray, IntArray]]:
    """Outcomes and counts ``(1, E)`` of each row in turn, as measured."""
    for row in rows:
        try:
            counts = whole_counts(row.distribution, shots=shots)
        except InvalidResultError as error:
            if not options.debiasing:
                raise InvalidResultError(f"row {row.place}: {error}") from error
            counts = nearest_counts(row.distribution, shots=shots)
        yield row.distribution.outcomes[np.newaxis], counts[np.newaxis]


def _read_rows(rows: list[Text | _Failure], reader: DistributionReader) -> Iterator[_Row]:
    for place, body in enumerate(rows):
        if isinstance(body, _Failure):
            continue
        try:
            yield _Row(place, reader.read(body))
        except InvalidResultError as error:
            raise InvalidResultError(f"row {place}: {error}") from error


def _pack(histograms: Iterable[tuple[UIntArray, IntArray]], *, n_qubits: int, shots: int) -> Counts:
    """All rows in one ``Counts``, without outcomes that were not seen."""
    outcome_type, count_type = smallest_unsigned((1 << n_qubits) - 1), smallest_unsigned(shots)
    outcomes = [np.empty(0, dtype=outcome_type)]
    counts = [np.empty(0, dtype=np.uint8)]
    lengths = [np.zeros(1, dtype=np.int64)]
    for some, often in histograms:
        seen = often > 0
        outcomes.append(some[seen].astype(outcome_type))
        counts.append(often[seen].astype(count_type))
        lengths.append(np.count_nonzero(seen, axis=1))
    packed = np.concatenate(counts)
    return Counts(
        n_qubits,
        np.concatenate(outcomes),
        packed.astype(smallest_unsigned(int(packed.max(initial=0)))),
        np.cumsum(np.concatenate(lengths)).astype(np.int64),
    )


def _exact_values(block: BlockShape, distributions: list[Distribution]) -> FloatArray:
    """Probabilities or parities ``(R, M)``, divided by the sum of the probabilities, which is not 1 after rounding."""
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
