"""Compiles circuits: each once for a device, its calibration and the options; kept in memory and in a folder."""

import hashlib
import importlib.metadata
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import qiskit

from qorch.errors import BackendError
from qorch.model.circuit import GateList
from qorch_providers.ibm.circuits.isa import IsaCircuit, decode_isa
from qorch_providers.ibm.circuits.transpiler_process import TranspilerProcess
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import Options
from qorch_providers.kept_files import kept_folder, locked, read_kept, write_kept

_REVISION = 1
"""Rises with any change of ours that changes compiled circuits."""
_KEPT_CIRCUITS = 256
_KEPT_FILES = 2_000
_LOCKS = 16


def default_folder() -> Path | None:
    """Where compiled circuits of this user are kept; None if there is no folder that can be trusted."""
    return kept_folder("ibm-circuits")


class Transpiler(Protocol):
    """What compiles circuits, one at a time."""

    def compile(self, gates: GateList, device: IbmDevice, options: Options) -> bytes:
        """The compiled circuit as ``encode_isa`` writes it; waits for it. Raises CircuitError, BackendError."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...


class IsaCompiler:
    """Compiled circuits; any thread may ask for them.

    A circuit that another process compiled before is read from the folder. ``n_compiled``: how many the transpiler has
    compiled for this one.
    """

    def __init__(self, *, folder: Path | None, transpiler: Transpiler | None = None) -> None:
        """``folder``: where compiled circuits are kept for later processes; None: nowhere.

        ``transpiler``: None is a process of its own.
        """
        self._folder = folder
        self._transpiler = transpiler or TranspilerProcess()
        self._circuits: OrderedDict[bytes, IsaCircuit] = OrderedDict()
        self._memory, self._work = threading.Lock(), threading.Lock()
        self._is_closed = False
        self.n_compiled = 0

    def compile_all(self, circuits: Sequence[GateList], *, device: IbmDevice, options: Options) -> None:
        """Compile what was not compiled before; takes seconds for each circuit. Raises what ``compile`` does."""
        for gates in circuits:
            self.compile(gates, device=device, options=options)

    def compile(self, gates: GateList, *, device: IbmDevice, options: Options) -> IsaCircuit:
        """The circuit in the device's gates: at once if it was compiled before, else it takes seconds.

        Raises CircuitError if it cannot be compiled, BackendError if Qiskit cannot read what the device is, or if the
        compiler is closed and would have to compile.
        """
        key = _key(gates, device, options)
        found = self._recall(key)
        if found is not None:
            return found
        with self._work:
            if self._is_closed:
                raise BackendError("the backend was closed while circuits waited to be compiled; open it again")
            found = self._recall(key) or self._load_or_compile(key.hex(), gates, device, options)
        with self._memory:
            self._circuits[key] = found
            while len(self._circuits) > _KEPT_CIRCUITS:
                self._circuits.popitem(last=False)
        return found

    def is_compiled(self, gates: GateList, *, device: IbmDevice, options: Options) -> bool:
        """Whether this process has compiled or read the circuit already."""
        return self._recall(_key(gates, device, options)) is not None

    def close(self) -> None:
        """End the transpiler's process. Compiled circuits stay, and those that wait in other threads are given up.

        Else a program that was interrupted would not end before all of them are compiled.
        """
        self._is_closed = True
        with self._work:
            self._transpiler.close()

    def _recall(self, key: bytes) -> IsaCircuit | None:
        with self._memory:
            if key in self._circuits:
                self._circuits.move_to_end(key)
            return self._circuits.get(key)

    def _load_or_compile(self, name: str, gates: GateList, device: IbmDevice, options: Options) -> IsaCircuit:
        if self._folder is None:
            return decode_isa(self._compile(gates, device, options))
        file = self._folder / f"{name[:40]}.isa"
        with locked(self._folder / f"{int(name[:4], 16) % _LOCKS}.lock"):
            kept = _read(file)
            if kept is not None:
                return kept
            # What was written is decoded again, so that this process sends the same bytes as all later ones.
            content = self._compile(gates, device, options)
            write_kept(file, content)
            _forget_oldest(self._folder)
            return decode_isa(content)

    def _compile(self, gates: GateList, device: IbmDevice, options: Options) -> bytes:
        self.n_compiled += 1
        return self._transpiler.compile(gates, device, options)


def _key(gates: GateList, device: IbmDevice, options: Options) -> bytes:
    parts = (_REVISION, _versions(), device.name, device.calibration, options.optimization, options.seed,
             options.layout[: gates.n_qubits], options.has_fractional)  # fmt: skip
    return hashlib.sha256(gates.digest + repr(parts).encode()).digest()


@cache
def _versions() -> tuple[str, str]:
    """Of the packages that decide on compiled circuits."""
    return qiskit.__version__, importlib.metadata.version("qiskit-ibm-runtime")


def _read(file: Path) -> IsaCircuit | None:
    content = read_kept(file)
    try:
        return None if content is None else decode_isa(content)
    except ValueError:
        return None


def _forget_oldest(folder: Path) -> None:
    """Calibrations change daily, and what was compiled for old ones is of no more use."""
    try:
        files = sorted(folder.glob("*.isa"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[:-_KEPT_FILES]:
            file.unlink(missing_ok=True)
    except OSError:
        return
