"""Results of Braket in the shapes of Amazon's schemas, and answers made of them."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from qorch.model.job import RawResult
from qorch_providers.braket.results.documents import RESULTS, encode_documents

COMPACT = (",", ":")
SPACED = (", ", ": ")
ARN = "arn:aws:braket:us-east-1:123456789012:quantum-task/1c6bc0e5-7f1d-4f28-9a53-6f2d1b1c6d11"
BARE = "OPENQASM 3.0;\nqubit[1] q;"


def header(name: str) -> dict[str, str]:
    """Of a schema of results."""
    return {"name": f"braket.task_result.{name}", "version": "1"}


def shots_of(counts: np.ndarray, rng: np.random.Generator) -> list[list[int]]:
    """Single shots with these counts ``(2**n,)`` in random order; column k is qubit k."""
    n_qubits = len(counts).bit_length() - 1
    outcomes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return ((outcomes[:, np.newaxis] >> np.arange(n_qubits)) & 1).tolist()


def frequencies_of(counts: np.ndarray) -> dict[str, float]:
    """Probabilities by outcome, qubit 0 leftmost; without those that were not seen."""
    n_qubits = len(counts).bit_length() - 1
    shares = counts / counts.sum()
    return {format(k, f"0{n_qubits}b")[::-1]: float(share) for k, share in enumerate(shares) if share}


def executable(index: int, **fields: Any) -> dict[str, Any]:
    """A successful executable; the fields are its shots or probabilities, and ``measuredQubits``."""
    return {"braketSchemaHeader": header("program_set_executable_result"), "inputsIndex": index, **fields}


def failure(index: int, *, reason: str = "no ions", is_retryable: bool = True) -> dict[str, Any]:
    """An executable that failed."""
    told = {"failureReason": reason, "retryable": is_retryable, "category": "DEVICE"}
    return {
        "braketSchemaHeader": header("program_set_executable_failure"),
        "inputsIndex": index,
        "failureMetadata": told,
    }


def program_result(executables: Sequence[Any], source: Any = None) -> dict[str, Any]:
    """One program of a set."""
    shown = source or {"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": BARE}
    return {
        "braketSchemaHeader": header("program_result"),
        "executableResults": list(executables),
        "source": shown,
        "additionalMetadata": {},
    }


def set_metadata(sizes: Sequence[int], **fields: Any) -> dict[str, Any]:
    """Of a set whose programs have so many executables each."""
    return {
        "braketSchemaHeader": header("program_set_task_metadata"),
        "id": ARN,
        "deviceId": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
        "requestedShots": 100,
        "successfulShots": 100,
        "programMetadata": [{"executables": [{}] * size} for size in sizes],
        "totalFailedExecutables": 0,
    } | fields


def set_result(programs: Sequence[Any], metadata: Any = None, location: Any = None) -> dict[str, Any]:
    """A program set."""
    sizes = [len(each["executableResults"]) for each in programs if isinstance(each, dict)]
    return {
        "braketSchemaHeader": header("program_set_task_result"),
        "programResults": list(programs),
        "taskMetadata": metadata or set_metadata(sizes),
        "s3Location": location,
    }


def single_result(*, shots: int, parameters: Any = None, source: str = BARE, **fields: Any) -> dict[str, Any]:
    """A task with one program."""
    action = {"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": source}
    task = {"braketSchemaHeader": header("task_metadata"), "id": ARN, "shots": shots, "deviceId": "device"}
    return {
        "braketSchemaHeader": header("gate_model_task_result"),
        "taskMetadata": task | ({} if parameters is None else {"deviceParameters": parameters}),
        "additionalMetadata": {"action": action},
        **fields,
    }


def answer(documents: Any, separators: tuple[str, str] = COMPACT) -> RawResult:
    """A stored answer: documents by name, or results.json alone; what is not bytes becomes JSON."""
    named = documents if isinstance(documents, dict) and RESULTS in documents else {RESULTS: documents}
    return RawResult(
        encode_documents(
            {
                name: each if isinstance(each, bytes) else json.dumps(each, separators=separators).encode()
                for name, each in named.items()
            }
        )
    )
