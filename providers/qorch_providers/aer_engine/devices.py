"""The recorded devices of qiskit-ibm-runtime, whose noise is simulated; the package is imported in workers only."""

import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from qorch.errors import BackendError, MissingPackageError

FAKE_PREFIX = "fake_"


@cache
def fake_devices() -> dict[str, Path]:
    """Name → data folder of the devices whose noise qiskit-ibm-runtime ships.

    Raises MissingPackageError if it is not installed. The package itself is not imported.
    """
    found = importlib.util.find_spec("qiskit_ibm_runtime")
    if found is None or not found.submodule_search_locations:
        raise MissingPackageError("noise of a fake device needs qiskit-ibm-runtime: pip install 'qorch[ibm]'")
    root = Path(found.submodule_search_locations[0]) / "fake_provider" / "backends"
    return {FAKE_PREFIX + path.parent.name: path.parent for path in root.glob("*/conf_*.json")}


def device_digest(name: str) -> bytes:
    """32 bytes that change with the data of a fake device."""
    hasher = hashlib.sha256(name.encode())
    for path in sorted(fake_devices()[name].glob("*.json")):
        hasher.update(path.name.encode() + path.read_bytes())
    return hasher.digest()


def device_qubits(name: str) -> int:
    """How many qubits a fake device has."""
    configuration = json.loads(next(fake_devices()[name].glob("conf_*.json")).read_bytes())
    return int(configuration["n_qubits"])


def load_device(name: str) -> Any:
    """The fake device itself, of qiskit-ibm-runtime. Raises BackendError if it has none of that name."""
    from qiskit_ibm_runtime import fake_provider

    wanted = {name.replace("_", "") + suffix for suffix in ("", "v2", "backend")}
    for attribute in sorted(dir(fake_provider), reverse=True):
        if attribute.lower() in wanted:
            return getattr(fake_provider, attribute)()
    raise BackendError(f"qiskit-ibm-runtime has data of '{name}' but no such device; choose another")
