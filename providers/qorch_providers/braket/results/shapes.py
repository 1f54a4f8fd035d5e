"""The JSON of results, as far as it is read, in the fields of Amazon's schemas."""

from pathlib import PurePosixPath
from typing import TypeVar

import msgspec

from qorch.errors import InvalidResultError
from qorch.model.text import printable

GATE_MODEL = "braket.task_result.gate_model_task_result"
PROGRAM_SET = "braket.task_result.program_set_task_result"
NOTHING = msgspec.Raw(b"null")
_MOST_TEXT = 300

Wire = TypeVar("Wire")


class HeaderPart(msgspec.Struct):
    """Which schema a document has."""

    name: str


class AnyResult(msgspec.Struct, rename="camel"):
    """A result of either kind."""

    braket_schema_header: HeaderPart


class FailureWire(msgspec.Struct, rename="camel"):
    """Why an executable failed; ``status`` without a reason: it was cancelled."""

    failure_reason: str | None = None
    retryable: bool = False
    category: str = ""
    status: str | None = None


class ExecutableWire(msgspec.Struct, rename="camel"):
    """One executable of a program set. ``measurements`` may be cut out: then it is the number of the cutting."""

    inputs_index: int
    measurements: int | list[list[int | str]] | None = None
    measurement_probabilities: msgspec.Raw = NOTHING
    measured_qubits: list[int] | None = None
    failure_metadata: FailureWire | None = None


class SourceWire(msgspec.Struct):
    """A program that was run; of another language it has no ``source``."""

    source: str = ""


class ProgramResultWire(msgspec.Struct, rename="camel"):
    """One program of a program set; texts are paths below its own directory."""

    executable_results: list[str | ExecutableWire]
    source: str | SourceWire = ""


class ProgramMetadataWire(msgspec.Struct):
    """What became of the executables of one program, in the order of its inputs."""

    executables: list[FailureWire]


class ParametersWire(msgspec.Struct, rename="camel"):
    """How the device was told to run a task."""

    error_mitigation: list[msgspec.Raw] | None = None


class SetMetadataWire(msgspec.Struct, rename="camel"):
    """What is said of a program set as a whole."""

    program_metadata: list[ProgramMetadataWire] = []
    device_parameters: ParametersWire | None = None


class SetResultWire(msgspec.Struct, rename="camel"):
    """The result of a program set; texts are paths below the task's directory."""

    program_results: list[str | ProgramResultWire]
    task_metadata: str | SetMetadataWire
    s3_location: tuple[str, str] | None = None


class RequestedWire(msgspec.Struct):
    """What an exact value is of."""

    type: str
    targets: list[int] | None = None
    observable: list[str] | None = None


class ExactWire(msgspec.Struct):
    """One exact value, or all probabilities."""

    type: RequestedWire
    value: float | list[float]


class TaskMetadataWire(msgspec.Struct, rename="camel"):
    """What is said of a task with one program."""

    shots: int
    device_parameters: ParametersWire | None = None


class AdditionalWire(msgspec.Struct, rename="camel"):
    """The program that was run, if it is kept with the result, and what a simulator says of itself."""

    action: SourceWire | None = None
    simulator_metadata: msgspec.Raw = NOTHING


class GateModelWire(msgspec.Struct, rename="camel"):
    """The result of one program; see ExecutableWire."""

    task_metadata: TaskMetadataWire
    measurements: int | list[list[int | str]] | None = None
    measurement_probabilities: msgspec.Raw = NOTHING
    measured_qubits: list[int] | None = None
    result_types: list[ExactWire] | None = None
    additional_metadata: AdditionalWire | None = None


def decode_part(body: bytes, kind: type[Wire], *, name: str) -> Wire:
    """Read a document. Raises InvalidResultError, with its ``name``, if it is not JSON of this kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        told = "it begins as a Python pickle, which is never loaded" if body[:1] == b"\x80" else shown(str(error))
        raise InvalidResultError(f"{shown(name)} has {len(body)} bytes that are not a result: {told}") from error


def shown(text: str) -> str:
    """A text of the server in one line, cut to 300 characters."""
    line = " ".join(printable(text[: 8 * _MOST_TEXT]).split())
    return line if len(line) <= _MOST_TEXT else line[: _MOST_TEXT - 1] + "…"


def below(folder: str, path: str) -> str:
    """A path that a document names, below the folder of that document.

    Raises InvalidResultError for one that could lead elsewhere.
    """
    is_plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    if not is_plain or not path or path[0] == "/" or len(path) > 512 or {"..", "."} & set(path.split("/")):
        raise InvalidResultError(f"'{shown(path)}' is not the path of a part of a result")
    return f"{folder}/{path}" if folder else path


def folder_of(path: str) -> str:
    """The folder of a path; empty for a name alone."""
    folder = str(PurePosixPath(path).parent)
    return "" if folder == "." else folder
