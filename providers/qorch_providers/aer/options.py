"""What stands behind `aer:`: which noise, checked before anything starts, without importing an SDK."""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from qorch.errors import MissingPackageError, UnknownNameError, UsageError
from qorch_providers.aer.rewrites import REWRITTEN
from qorch_providers.options import read_options

FAKE_PREFIX = "fake_"
_CHOICES = "noise=fake_<device> or noise=<file>, or leave it out"


class _Given(TypedDict, total=False):
    noise: Annotated[str, msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Options:
    """Parsed options. ``noise`` is None, ``fake_<device>`` or the absolute path of a noise file.

    ``digest`` changes with the noise's data; ``n_device_qubits`` is None unless a device limits the circuit.
    """

    noise: str | None = None
    digest: bytes = b""
    n_device_qubits: int | None = None

    @property
    def worker_arguments(self) -> tuple[str, ...]:
        """What a worker is told of it on its command line."""
        return () if self.noise is None else (self.noise, self.digest.hex())


def parse_options(text: str) -> Options:
    """Read ``""``, ``"noise=fake_fez"`` or ``"noise=FILE"``.

    Raises UnknownNameError for another key or device, MissingPackageError if the devices are not installed,
    UsageError for a file that is not a noise model.
    """
    noise = read_options(text, _Given, backend="aer", choices=_CHOICES).get("noise")
    if noise is None:
        return Options()
    return _device_options(noise) if noise.startswith(FAKE_PREFIX) else _file_options(noise)


def _device_options(noise: str) -> Options:
    folder = fake_devices().get(noise)
    if folder is None:
        names = ", ".join(sorted(fake_devices()))
        raise UnknownNameError(f"there is no device '{noise}' to take noise from; choose one of {names}")
    hasher = hashlib.sha256(noise.encode())
    for path in sorted(folder.glob("*.json")):
        hasher.update(path.name.encode() + path.read_bytes())
    configuration = json.loads(next(folder.glob("conf_*.json")).read_bytes())
    return Options(noise, hasher.digest(), int(configuration["n_qubits"]))


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


def _file_options(noise: str) -> Options:
    path = Path(noise).expanduser().resolve()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnknownNameError(
            f"there is no noise file '{noise}' that can be read ({error.strerror});"
            " give a JSON file of NoiseModel.to_dict(serializable=True), or noise=fake_<device>"
        ) from error
    _check_noise_file(noise, content)
    return Options(str(path), hashlib.sha256(content).digest())


def _check_noise_file(noise: str, content: bytes) -> None:
    try:
        errors = json.loads(content)["errors"]
        complaints = [complaint for error in errors if (complaint := _complaint_about(error))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"'{noise}' is not a noise model; write it with json.dump(NoiseModel.to_dict(serializable=True))"
        ) from error
    if complaints:
        raise UsageError(f"the noise file '{noise}' has {complaints[0]}; leave that out")


def _complaint_about(error: dict[str, Any]) -> str | None:
    operations = set(error["operations"])
    if error["type"] == "roerror":
        is_single = all(len(qubits) == 1 for qubits in error.get("gate_qubits", [[0]]))
        return None if is_single else "reading errors that involve several qubits"
    if "measure" in operations:
        return "noise on measurements other than reading errors"
    if operations & REWRITTEN:
        return f"noise on {', '.join(sorted(operations & REWRITTEN))}, which aer executes as other gates"
    return None
