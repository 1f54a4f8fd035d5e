"""The objects that a completed task leaves in S3, by the schemas of the service."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from qorch_providers.emulators.braket.outcomes import ProgramOutcome
from qorch_providers.emulators.braket.program import ObservableFactor, ResultRequest
from qorch_providers.emulators.braket.submission import ReadyProgram
from qorch_providers.emulators.braket.tasks import EmulatedTask
from qorch_providers.emulators.braket.wire import PROGRAM, ProgramWire
from qorch_providers.emulators.kit.clock import ScaledClock, format_iso

RESULTS = "results.json"
METADATA = "metadata.json"


@dataclass(frozen=True)
class BrokenExecutables:
    """Executables of a set that failed, by number; ``missing``: those of which nothing is said at all."""

    failed: frozenset[int] = frozenset()
    missing: frozenset[int] = frozenset()
    is_retryable: bool = True


def result_files(
    task: EmulatedTask,
    programs: Sequence[ReadyProgram],
    executed: Sequence[Sequence[ProgramOutcome]],
    *,
    broken: BrokenExecutables,
    clock: ScaledClock,
    in_parts: bool,
) -> Iterator[tuple[str, bytes]]:
    """The objects by their names below the task's directory. ``executed``: by program and row."""
    if not task.order.is_set:
        document = _single_document(task, programs[0], executed[0][0], clock)
        yield RESULTS, msgspec.json.encode(document)
    elif in_parts:
        yield from _set_in_parts(task, programs, executed, broken, clock)
    else:
        parts = list(_program_documents(task, programs, executed, broken))
        document = _set_document(parts, _set_metadata(task, programs, broken, clock), None)
        yield RESULTS, msgspec.json.encode(document)


def _header(name: str) -> dict[str, str]:
    return {"name": f"braket.task_result.{name}", "version": "1"}


def _single_document(
    task: EmulatedTask, given: ReadyProgram, found: ProgramOutcome, clock: ScaledClock
) -> dict[str, object]:
    order = task.order
    document: dict[str, object] = {
        "braketSchemaHeader": _header("gate_model_task_result"),
        "measuredQubits": found.qubits,
        "taskMetadata": {
            "braketSchemaHeader": _header("task_metadata"),
            "id": task.arn,
            "shots": order.shots,
            "deviceId": order.device.arn,
            "deviceParameters": _parameters(task),
            **_times(task, clock),
            "status": "COMPLETED",
        },
        "additionalMetadata": _additional(task, given.wire),
    }
    if found.bits is not None:
        document |= _measured(task, found)
    if given.program.results:
        pairs = zip(given.program.results, found.values, strict=True)
        document["resultTypes"] = [{"type": _describe(request), "value": value} for request, value in pairs]
    return document


def _measured(task: EmulatedTask, found: ProgramOutcome) -> dict[str, object]:
    """Single shots, or their frequencies, as the device has it."""
    bits = found.bits
    assert bits is not None  # noqa: S101 -- only called with shots
    if not task.order.device.returns_probabilities:
        return {"measurements": bits.tolist()}
    rows, counts = np.unique(bits, axis=0, return_counts=True)
    names = ["".join(map(str, row)) for row in rows.tolist()]
    return {"measurementProbabilities": dict(zip(names, (counts / len(bits)).tolist(), strict=True))}


def _describe(request: ResultRequest) -> dict[str, object]:
    document: dict[str, object] = {"type": request.kind}
    targets = [qubit for factor in request.factors for qubit in factor.targets] or list(request.targets)
    if targets:
        document["targets"] = targets
    if request.factors:
        document["observable"] = [_describe_factor(factor) for factor in request.factors]
    if request.states:
        document["states"] = request.states
    return document


def _describe_factor(factor: ObservableFactor) -> object:
    if factor.matrix is None:
        return factor.letter
    return [[[entry.real, entry.imag] for entry in row] for row in factor.matrix.tolist()]


def _parameters(task: EmulatedTask) -> object:
    text = task.order.device_parameters
    return None if text is None else msgspec.Raw(text.encode())


def _times(task: EmulatedTask, clock: ScaledClock) -> dict[str, str]:
    ended = clock.unix() if task.ended_unix is None else task.ended_unix
    shown = clock.project(task.accepted_unix, ended)
    return {"createdAt": format_iso(task.accepted_unix), "endedAt": format_iso(shown)}


def _additional(task: EmulatedTask, wire: ProgramWire | None) -> dict[str, object]:
    document: dict[str, object] = {}
    if wire is not None:
        document["action"] = _program_document(wire)
    if task.order.device.is_simulator:
        header = _header("simulator_metadata")
        document["simulatorMetadata"] = {"braketSchemaHeader": header, "executionDuration": task.execution_ms}
    return document


def _program_document(wire: ProgramWire) -> dict[str, object]:
    header = {"name": PROGRAM, "version": "1"}
    return {"braketSchemaHeader": header, "source": wire.source, "inputs": wire.inputs or {}}


def _set_document(programs: object, metadata: object, location: object) -> dict[str, object]:
    return {
        "braketSchemaHeader": _header("program_set_task_result"),
        "programResults": programs,
        "taskMetadata": metadata,
        "s3Location": location,
    }


def _program_documents(
    task: EmulatedTask,
    programs: Sequence[ReadyProgram],
    executed: Sequence[Sequence[ProgramOutcome]],
    broken: BrokenExecutables,
) -> Iterator[dict[str, object]]:
    number = 0
    for given, rows in zip(programs, executed, strict=True):
        entries = []
        for index, found in enumerate(rows):
            if number not in broken.missing:
                entries.append(
                    _executable_document(task, index, found, is_broken=number in broken.failed, broken=broken)
                )
            number += 1
        yield {
            "braketSchemaHeader": _header("program_result"),
            "executableResults": entries,
            "source": _program_document(given.wire),
            "additionalMetadata": {},
        }


def _executable_document(
    task: EmulatedTask, index: int, found: ProgramOutcome, *, is_broken: bool, broken: BrokenExecutables
) -> dict[str, object]:
    if is_broken:
        header = _header("program_set_executable_failure")
        return {"braketSchemaHeader": header, "inputsIndex": index, "failureMetadata": _failure(broken)}
    return {
        "braketSchemaHeader": _header("program_set_executable_result"),
        "inputsIndex": index,
        "measuredQubits": found.qubits,
        **_measured(task, found),
    }


def _failure(broken: BrokenExecutables) -> dict[str, object]:
    return {
        "failureReason": "the emulator was told to let this fail",
        "retryable": broken.is_retryable,
        "category": "DEVICE" if broken.is_retryable else "COMPILATION",
    }


def _set_metadata(
    task: EmulatedTask, programs: Sequence[ReadyProgram], broken: BrokenExecutables, clock: ScaledClock
) -> dict[str, object]:
    shots = task.order.shots // task.order.n_executables
    programs_metadata = []
    number = 0
    for given in programs:
        rows = range(number, number + given.n_rows)
        number += given.n_rows
        programs_metadata.append({"executables": [_failure(broken) if row in broken.failed else {} for row in rows]})
    return {
        "braketSchemaHeader": _header("program_set_task_metadata"),
        "id": task.arn,
        "deviceId": task.order.device.arn,
        "requestedShots": task.order.shots,
        "successfulShots": task.order.shots - shots * len(broken.failed),
        "programMetadata": programs_metadata,
        "deviceParameters": _parameters(task),
        **_times(task, clock),
        "status": "COMPLETED",
        "totalFailedExecutables": len(broken.failed),
    }


def _set_in_parts(
    task: EmulatedTask,
    programs: Sequence[ReadyProgram],
    executed: Sequence[Sequence[ProgramOutcome]],
    broken: BrokenExecutables,
    clock: ScaledClock,
) -> Iterator[tuple[str, bytes]]:
    """Each program, each executable and the metadata as an object of its own, named by paths below the directory."""
    names = []
    for number, document in enumerate(_program_documents(task, programs, executed, broken)):
        folder = f"programs/{number}"
        entries = document["executableResults"]
        assert isinstance(entries, list)  # noqa: S101 -- made a few lines above
        # Paths within a program are relative to its own folder.
        paths = [f"executables/{index}.json" for index in range(len(entries))]
        for path, entry in zip(paths, entries, strict=True):
            yield f"{folder}/{path}", msgspec.json.encode(entry)
        yield f"{folder}/program.json", msgspec.json.encode(document["source"])
        part = document | {"executableResults": paths, "source": "program.json"}
        yield f"{folder}/{RESULTS}", msgspec.json.encode(part)
        names.append(f"{folder}/{RESULTS}")
    yield METADATA, msgspec.json.encode(_set_metadata(task, programs, broken, clock))
    location = (task.order.bucket, task.directory)
    yield RESULTS, msgspec.json.encode(_set_document(names, METADATA, location))
