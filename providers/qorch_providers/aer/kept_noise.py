"""The noise models of fake devices, kept in the user's cache folder: Qiskit takes a minute to build a large one.

A file holds the SHA-256 of its content, then JSON with the basis gates and the errors of ``NoiseModel.to_dict()``. Its
name changes with the device's data and with all versions that decide on the model.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from qorch_providers.private_folders import is_private, is_writable

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
    root = platformdirs.user_cache_path("qorch", appauthor=False)
    folder = root / "noise"
    if not is_writable(folder) or not is_private(folder):
        return None
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    key = hashlib.sha256("\n".join([_FORMAT, digest.hex(), *versions]).encode()).hexdigest()
    return folder / f"{device}-{key[:32]}.json"


def load_or_build(file: Path | None, build: Callable[[], NoiseTable]) -> NoiseTable:
    """The model from its file, or else built and kept there; processes that need it at once build it once."""
    if file is None:
        return build()
    with _locked(file.with_suffix(".lock")):
        kept = _read(file)
        if kept is None:
            # Decode what was written, so that the first process computes with the same numbers as all later ones.
            content = encode_table(build())
            _write(file, content)
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


def _read(file: Path) -> NoiseTable | None:
    """The model in a file; None if there is no such file, or it is damaged."""
    try:
        digest, _, content = file.read_bytes().partition(b"\n")
        if digest.decode() != hashlib.sha256(content).hexdigest():
            return None
        return decode_table(content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, content: bytes) -> None:
    """Write the file whole or not at all; after a failure the next process builds the model again."""
    with contextlib.suppress(OSError):
        number, name = tempfile.mkstemp(dir=file.parent)
        temporary = Path(name)
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go of the lock if the process dies."""
    try:
        number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
