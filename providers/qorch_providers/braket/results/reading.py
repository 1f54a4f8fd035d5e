"""Reads a stored answer: pairs executables with rows by their numbers, and computes counts or exact values. Pure.

The engine verifies what every backend's results have in common (``qorch.model.verification``); this file checks what
only Braket's answers have: parts, measured qubits, executables that failed or were cancelled.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np

from qorch.errors import InvalidResultError
from qorch.model.counts import Counts, concatenate_counts
from qorch.model.job import JobResult, JobShape, LostRows, RawResult
from qorch.model.measurement import BlockResult, BlockShape
from qorch_providers.braket.results.documents import RESULTS, decode_cut
from qorch_providers.braket.results.measurements import Shots, count_shots
from qorch_providers.braket.results.probabilities import exact_values, read_frequencies
from qorch_providers.braket.results.shapes import (
    GATE_MODEL,
    PROGRAM_SET,
    AdditionalWire,
    AnyResult,
    ExecutableWire,
    FailureWire,
    GateModelWire,
    ParametersWire,
    ProgramResultWire,
    SetMetadataWire,
    SetResultWire,
    SourceWire,
    below,
    decode_part,
    folder_of,
    shown,
)
from qorch_providers.braket.results.shot_codec import ShotDocument
from qorch_providers.braket.results.usage import read_simulation
from qorch_providers.counting import pack_counts

_PHYSICAL = re.compile(r"measure\s+\$[0-9]")
_NO_INTEGERS = np.zeros(0, dtype=np.int64)

Wire = TypeVar("Wire")


class _Row(NamedTuple):
    """An executable that did not fail. ``is_physical``: its qubits were named by their numbers on the device."""

    executable: ExecutableWire
    shots: Shots | None
    is_physical: bool


@dataclass(frozen=True)
class _Failure:
    """Why a row has no results."""

    reason: str
    is_repeatable: bool


_AnyRow = _Row | _Failure


@dataclass(frozen=True, eq=False)
class _FoundProgram:
    """One program of a result: what became of its executables by their number, and what the metadata says of them."""

    rows: Mapping[int, _AnyRow]
    told: Sequence[FailureWire]

    def take(self, n_rows: int) -> list[_AnyRow]:
        """All of its ``n_rows`` rows. Raises InvalidResultError if there are others, or one is missing."""
        if any(place >= n_rows for place in self.rows):
            raise InvalidResultError(f"a program has {max(self.rows) + 1} executables; {n_rows} were sent")
        return [self.rows.get(place) or self._missing(place) for place in range(n_rows)]

    def _missing(self, place: int) -> _Failure:
        if place < len(self.told) and (self.told[place].failure_reason or self.told[place].status):
            return _failure_of(self.told[place])
        raise InvalidResultError(f"the results lack the executable {place} of a program; fetch them again")


def read_answer(shape: JobShape, raw: RawResult) -> JobResult:
    """The results of a task's blocks, and the rows that failed at Braket, by reason.

    Shots that the device gives as probabilities must be whole in number (see ``read_frequencies``). Raises
    InvalidResultError, and nothing else, if anything is wrong: then no row is used.
    """
    documents = decode_cut(raw.content)
    try:
        if RESULTS not in documents:
            raise InvalidResultError(f"the answer has no {RESULTS}; fetch it again")
        return _read(shape, documents)
    except InvalidResultError as error:
        raise InvalidResultError(f"job {shape.job_id}: {error}") from error


def _read(shape: JobShape, documents: Mapping[str, ShotDocument]) -> JobResult:
    body, texts = documents[RESULTS]
    kind = decode_part(body, AnyResult, name=RESULTS).braket_schema_header.name
    if kind == GATE_MODEL:
        return _read_single(shape, decode_part(body, GateModelWire, name=RESULTS), texts)
    if kind == PROGRAM_SET:
        return _read_set(shape, decode_part(body, SetResultWire, name=RESULTS), texts, documents)
    raise InvalidResultError(f"{RESULTS} is a {shown(kind)}, which is not a result of circuits")


def _read_single(shape: JobShape, result: GateModelWire, texts: Sequence[Shots]) -> JobResult:
    """The result of a task with one program: the job has one row."""
    if shape.n_rows != 1:
        raise InvalidResultError(f"the task has one program; {shape.n_rows} rows were sent")
    (block,) = (block for block in shape.blocks if block.n_rows)
    additional = result.additional_metadata or AdditionalWire()
    if result.task_metadata.shots != (block.shots or 0):
        raise InvalidResultError(f"the task has {result.task_metadata.shots} shots; {block.shots or 0} were asked for")
    if block.samples is None:
        values = exact_values(result.result_types or [], block.measurement)
        of_row = BlockResult(values=values[np.newaxis])
    else:
        source = additional.action
        executable = ExecutableWire(0, result.measurements, result.measurement_probabilities, result.measured_qubits)
        (shots,) = _match_shots([executable], texts)
        row = _Row(executable, shots, _names_physical(source))
        of_row = _read_block(block, [row], is_debiased=_is_debiased(result.task_metadata.device_parameters))
    blocks = tuple(of_row if each is block else _read_block(each, []) for each in shape.blocks)
    return JobResult(blocks, usage=read_simulation(additional.simulator_metadata))


def _read_set(
    shape: JobShape, result: SetResultWire, texts: Sequence[Shots], documents: Mapping[str, ShotDocument]
) -> JobResult:
    metadata = (
        result.task_metadata
        if isinstance(result.task_metadata, SetMetadataWire)
        else _decode_named(documents, below("", result.task_metadata), SetMetadataWire)[0]
    )
    programs = list(_find_programs(result, metadata, texts, documents))
    is_debiased = _is_debiased(metadata.device_parameters)
    blocks, lost = [], []
    for index, (block, rows) in enumerate(zip(shape.blocks, _assign(shape.blocks, programs), strict=True)):
        try:
            blocks.append(_read_block(block, rows, is_debiased=is_debiased))
        except InvalidResultError as error:
            raise InvalidResultError(f"block {index}, {error}") from error
        lost.append(_lost_rows(rows))
    return JobResult(tuple(blocks), tuple(lost) if any(lost) else ())


def _find_programs(
    result: SetResultWire, metadata: SetMetadataWire, texts: Sequence[Shots], documents: Mapping[str, ShotDocument]
) -> Iterator[_FoundProgram]:
    """All programs, in the document itself or in documents of their own."""
    inline = [each for each in result.program_results if isinstance(each, ProgramResultWire)]
    of_all = iter(_match_shots([each for program in inline for each in _listed(program)], texts))
    for number, each in enumerate(result.program_results):
        if isinstance(each, str):
            path = below("", each)
            program, own_texts = _decode_named(documents, path, ProgramResultWire)
            folder, shots = folder_of(path), iter(_match_shots(_listed(program), own_texts))
        else:
            program, folder, shots = each, "", of_all
        told = metadata.program_metadata[number].executables if number < len(metadata.program_metadata) else []
        yield _FoundProgram(_find_rows(program, folder, shots, documents), told)


def _listed(program: ProgramResultWire) -> list[ExecutableWire]:
    """The executables that are not in documents of their own."""
    return [each for each in program.executable_results if isinstance(each, ExecutableWire)]


def _find_rows(
    program: ProgramResultWire, folder: str, shots: Iterator[Shots | None], documents: Mapping[str, ShotDocument]
) -> dict[int, _AnyRow]:
    """What became of each executable, by its number."""
    source: str | SourceWire | None = program.source
    if isinstance(source, str):
        path = below(folder, source) if source else ""
        source = _decode_named(documents, path, SourceWire)[0] if path in documents else None
    is_physical = _names_physical(source)
    rows: dict[int, _AnyRow] = {}
    for each in program.executable_results:
        if isinstance(each, str):
            executable, texts = _decode_named(documents, below(folder, each), ExecutableWire)
            (own,) = _match_shots([executable], texts)
        else:
            executable, own = each, next(shots)
        if executable.inputs_index < 0 or executable.inputs_index in rows:
            raise InvalidResultError(f"executable {executable.inputs_index} of a program is there twice, or is none")
        failure = executable.failure_metadata
        rows[executable.inputs_index] = _Row(executable, own, is_physical) if failure is None else _failure_of(failure)
    return rows


def _decode_named(documents: Mapping[str, ShotDocument], path: str, kind: type[Wire]) -> tuple[Wire, Sequence[Shots]]:
    """A document that another one names, and the shots that were cut out of it."""
    if path not in documents:
        raise InvalidResultError(f"the answer lacks {path}; fetch it again")
    body, shots = documents[path]
    return decode_part(body, kind, name=path), shots


def _match_shots(executables: Sequence[ExecutableWire], texts: Sequence[Shots]) -> list[Shots | None]:
    """The shots of each executable of a document. Raises InvalidResultError if not all texts belong to one."""
    numbers = [each.measurements for each in executables if isinstance(each.measurements, int)]
    if sorted(numbers) != list(range(len(texts))):
        raise InvalidResultError("measurements stand where no executable is, or twice in one")
    return [
        texts[each.measurements] if isinstance(each.measurements, int) else each.measurements for each in executables
    ]


def _failure_of(failure: FailureWire) -> _Failure:
    """Braket says whether a failure may be tried again; what somebody cancelled is not bought again unasked."""
    if failure.failure_reason is None and failure.status is not None:
        return _Failure("cancelled at Braket before it was run", is_repeatable=False)
    category = f"{shown(failure.category)}: " if failure.category else ""
    return _Failure(category + shown(failure.failure_reason or "failed without a reason"), failure.retryable)


def _lost_rows(rows: Sequence[_AnyRow]) -> tuple[LostRows, ...]:
    """The rows that failed, grouped by their failure."""
    places: dict[_Failure, list[int]] = {}
    for place, row in enumerate(rows):
        if isinstance(row, _Failure):
            places.setdefault(row, []).append(place)
    return tuple(
        LostRows(np.array(failed, dtype=np.int64), failure.reason, failure.is_repeatable)
        for failure, failed in places.items()
    )


def _assign(blocks: Sequence[BlockShape], programs: Sequence[_FoundProgram]) -> Iterator[list[_AnyRow]]:
    """The rows of each block: those of one program, or without inputs one program each."""
    is_one_each = len(programs) == sum(block.n_rows > 0 for block in blocks)
    rest = iter(programs)
    n_used = 0
    for block in blocks:
        rows: list[_AnyRow] = []
        while len(rows) < block.n_rows:
            program = next(rest, None)
            if program is None:
                raise InvalidResultError(f"the results have {len(programs)} programs, less than were sent")
            n_used += 1
            rows += program.take(block.n_rows if is_one_each else len(program.rows))
        if len(rows) > block.n_rows:
            raise InvalidResultError(f"the results have {len(rows)} rows of a block; {block.n_rows} were sent")
        yield rows
    if n_used < len(programs):
        raise InvalidResultError(f"the results have {len(programs)} programs; {n_used} were sent")


def _is_debiased(parameters: ParametersWire | None) -> bool:
    return parameters is not None and bool(parameters.error_mitigation)


def _names_physical(source: SourceWire | None) -> bool:
    return source is not None and _PHYSICAL.search(source.source) is not None


def _read_block(block: BlockShape, rows: Sequence[_AnyRow], *, is_debiased: bool = False) -> BlockResult:
    """The counts of the rows that did not fail; the error of a bad row begins with its number."""
    if block.samples is None:
        if rows:
            raise InvalidResultError("exact values were asked for; a program set has none")
        return BlockResult(values=np.zeros((0, block.measurement.n_values)))
    shots, n_qubits = block.samples.shots, block.n_qubits
    kept = [(place, row) for place, row in enumerate(rows) if isinstance(row, _Row)]
    pieces: list[Counts] = []
    # Nearly all rows of a block are alike, and a list is compared sooner than it is checked.
    for _, same in groupby(kept, key=lambda pair: _marks_of(pair[1])):
        alike = list(same)
        order, has_shots = _form_of(*alike[0], n_qubits)
        if has_shots:
            pieces.append(
                count_shots([(place, row.shots) for place, row in alike if row.shots is not None], order, shots=shots)
            )
        else:
            pieces += [_count_frequencies(*pair, order, shots=shots, is_debiased=is_debiased) for pair in alike]
    if not pieces:
        return BlockResult(counts=pack_counts(_NO_INTEGERS, _NO_INTEGERS, _NO_INTEGERS, n_qubits))
    return BlockResult(counts=pieces[0] if len(pieces) == 1 else concatenate_counts(pieces))


def _marks_of(row: _Row) -> tuple[list[int] | None, bool, bool]:
    """Rows that have these in common have one form."""
    return row.executable.measured_qubits, row.is_physical, row.shots is not None


def _form_of(place: int, row: _Row, n_qubits: int) -> tuple[tuple[int, ...], bool]:
    """The qubit of each measured bit, and whether there are single shots; else there are probabilities.

    Numbers other than 0 to n - 1 are those of physical qubits, the first of which is qubit 0.
    """
    labels = row.executable.measured_qubits
    if labels is None or len(labels) != n_qubits or len(set(labels)) != n_qubits:
        raise InvalidResultError(f"row {place}: the measured qubits are {labels}, not the {n_qubits} of the circuit")
    if row.is_physical:
        ascending = sorted(labels)
        labels = [ascending.index(label) for label in labels]
    if sorted(labels) != list(range(n_qubits)):
        raise InvalidResultError(f"row {place}: the measured qubits are {labels}, not those of the circuit")
    return tuple(labels), row.shots is not None


def _count_frequencies(place: int, row: _Row, order: tuple[int, ...], *, shots: int, is_debiased: bool) -> Counts:
    try:
        outcomes, counts = read_frequencies(
            row.executable.measurement_probabilities, order, shots=shots, is_debiased=is_debiased
        )
    except InvalidResultError as error:
        raise InvalidResultError(f"row {place}: {error}") from error
    return pack_counts(outcomes, counts, np.array([len(counts)]), len(order))
