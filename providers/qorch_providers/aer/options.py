"""What stands behind `aer:`: which noise, checked before anything starts, without importing an SDK."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from qorch.errors import UnknownNameError, UsageError
from qorch_providers.aer.rewrites import REWRITTEN
from qorch_providers.aer_engine.devices import FAKE_PREFIX, device_digest, device_qubits, fake_devices
from qorch_providers.options import read_options

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
    if noise not in fake_devices():
        names = ", ".join(sorted(fake_devices()))
        raise UnknownNameError(f"there is no device '{noise}' to take noise from; choose one of {names}")
    return Options(noise, device_digest(noise), device_qubits(noise))


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
