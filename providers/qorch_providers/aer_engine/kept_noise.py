"""The noise models of fake devices, kept in the user's cache folder: Qiskit takes a minute to build a large one.

A file holds JSON with the basis gates and the errors of ``NoiseModel.to_dict()``. Its name changes with the device's
data and with all versions that decide on the model.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qorch_providers.kept_files import kept_folder, locked, read_kept, write_kept

_FORMAT = "1"
_PACKAGES = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")
_COMPLEX = "qorch.complex"


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """A noise model as plain data: ``errors`` as in ``NoiseModel.to_dict()``."""

    basis_gates: list[str]
    errors: list[dict[str, Any]]


def kept_file(device: str, *, digest: bytes) -> Path | None:
    """The file of the model of a device with this data; None if there is no folder that can be trusted."""
    folder = kept_folder("noise")
    if folder is None:
        return None
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    key = hashlib.sha256("\n".join([_FORMAT, digest.hex(), *versions]).encode()).hexdigest()
    return folder / f"{device}-{key[:32]}.json"


def load_or_build(file: Path | None, build: Callable[[], NoiseTable]) -> NoiseTable:
    """The model from its file, or else built and kept there; processes that need it at once build it once."""
    if file is None:
        return build()
    with locked(file.with_suffix(".lock")):
        kept = _decode(read_kept(file))
        if kept is None:
            # Decode what was written, so that the first process computes with the same numbers as all later ones.
            content = encode_table(build())
            write_kept(file, content)
            kept = decode_table(content)
    return kept


def encode_table(table: NoiseTable) -> bytes:
    """JSON in which every float keeps its bits, and complex matrices are pairs of real ones."""
    return json.dumps({"basis_gates": table.basis_gates, "errors": table.errors}, default=_as_json).encode()


def decode_table(content: bytes) -> NoiseTable:
    """The inverse of ``encode_table``. Raises ValueError, KeyError or TypeError for any other content."""
    document = json.loads(content, object_hook=_from_json)
    return NoiseTable(list(document["basis_gates"]), list(document["errors"]))


def _as_json(item: Any) -> Any:
    if isinstance(item, np.ndarray) and np.iscomplexobj(item):
        return {_COMPLEX: [item.real.tolist(), item.imag.tolist()]}
    if isinstance(item, np.ndarray | np.generic):
        return item.tolist()
    raise TypeError(f"a noise model holds a {type(item).__name__}, which cannot be kept as JSON")


def _from_json(item: dict[str, Any]) -> Any:
    if _COMPLEX not in item:
        return item
    real, imaginary = item[_COMPLEX]
    matrix = np.empty(np.shape(real), dtype=np.complex128)
    # Not real + 1j * imaginary, which changes the sign of zeros.
    matrix.real, matrix.imag = real, imaginary
    return matrix


def _decode(content: bytes | None) -> NoiseTable | None:
    """The model in a file's content; None if there is none, or it is another's."""
    try:
        return None if content is None else decode_table(content)
    except (ValueError, KeyError, TypeError):
        return None
