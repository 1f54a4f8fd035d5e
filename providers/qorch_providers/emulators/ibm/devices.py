"""The emulated devices: real ones, as recorded in qiskit-ibm-runtime, which is read but not imported."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from qorch.errors import MissingPackageError, UsageError

_PACKAGE = "qiskit_ibm_runtime"
_NAME = re.compile(r"ibm_[a-z0-9]+")
_FRACTIONAL = MappingProxyType({"rx": ("theta",), "rzz": ("theta",)})
ALWAYS = frozenset({"barrier", "delay", "measure"})
"""What every device has on all qubits, although its list of gates does not say so."""


@dataclass(frozen=True)
class IbmMachine:
    """One device. Its record is read when it is first needed.

    ``is_mock``: whether it is the double of a device on which jobs are only checked: results are random, and free.
    """

    name: str
    folder: Path
    is_fractional: bool
    is_mock: bool = False

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What ``GET /backends/{name}/configuration`` answers."""
        document = self._read("conf")
        document["backend_name"] = self.name
        if self.is_fractional:
            _add_fractional(document, self.recorded["gates"])
        return document

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """Its properties as they were recorded, on one day."""
        document = self._read("props")
        document["backend_name"] = self.name
        return document

    @property
    def n_qubits(self) -> int:
        """How many qubits it has."""
        return int(self.configuration["n_qubits"])

    @cached_property
    def gates(self) -> frozenset[tuple[str, tuple[int, ...]]]:
        """The gates that it has, each with the qubits on which it has them."""
        names = {*self.configuration["basis_gates"], "reset"}
        listed = {(gate["gate"], tuple(gate["qubits"])) for gate in self.recorded["gates"]}
        return frozenset(each for each in listed if each[0] in names)

    def has_gate(self, name: str, qubits: tuple[int, ...]) -> bool:
        """Whether a circuit may have this gate there."""
        return name in ALWAYS or (name, qubits) in self.gates

    def _read(self, kind: str) -> dict[str, Any]:
        path = self.folder / f"{kind}_{self.folder.name}.json"
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


def _add_fractional(document: dict[str, Any], gates: Sequence[Mapping[str, Any]]) -> None:
    """The recorded configuration lacks the fractional gates that the recorded properties have."""
    for name, parameters in _FRACTIONAL.items():
        coupled = [gate["qubits"] for gate in gates if gate["gate"] == name]
        if not coupled or name in document["basis_gates"]:
            continue
        document["basis_gates"].append(name)
        document["supported_instructions"].append(name)
        document["gates"].append(
            {"name": name, "parameters": list(parameters), "qasm_def": f"gate {name}", "coupling_map": coupled}
        )


def read_devices(text: str, *, is_fractional: bool) -> Mapping[str, IbmMachine]:
    """Devices and their mocks by name, from names separated by commas. Raises UsageError, MissingPackageError."""
    records = _find_records()
    found = {}
    for name in read_names(text):
        folder = records / name.removeprefix("ibm_")
        if not (folder / f"conf_{folder.name}.json").is_file():
            raise UsageError(f"'{name}' has no record in qiskit-ibm-runtime; write names such as ibm_fez,ibm_lagos")
        found[name] = IbmMachine(name, folder, is_fractional)
        mock = f"mock_{folder.name}"
        found[mock] = IbmMachine(mock, folder, is_fractional, is_mock=True)
    if not found:
        raise UsageError("there must be at least one device, such as ibm_fez")
    return MappingProxyType(found)


def read_names(text: str) -> list[str]:
    """Names of devices, separated by commas. Raises UsageError for what cannot be one."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(f"'{name}' is not the name of a device; write names such as ibm_fez")
    return names


def _find_records() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise MissingPackageError("the emulator of ibm needs qiskit-ibm-runtime: pip install 'qorch[emulators,ibm]'")
    return Path(next(iter(spec.submodule_search_locations))) / "fake_provider" / "backends"
