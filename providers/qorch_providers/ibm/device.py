"""What a device of IBM's says of itself, as far as jobs depend on it; read from its configuration and properties."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from qorch.errors import InvalidResultError, UsageError
from qorch_providers.ibm.options import Options

FRACTIONAL_GATES = frozenset({"rx", "rzz"})
"""Gates with an angle that some devices have, always both; circuits use them only if an option says so."""

NEEDED_GATES = frozenset({"rz", "sx"})
"""With them a qubit is measured in another basis."""


@dataclass(frozen=True, eq=False)
class IbmDevice:
    """A device as its configuration and its properties describe it.

    ``configuration`` and ``properties``: these documents, verbatim; the properties of a simulator are empty.
    ``gates``: the names of its gates, without fractional ones unless they are wanted. ``calibration``: 64 hexadecimal
    digits that change with any value in the documents, but not with the dates of measurements alone.
    ``rep_delay_range``: the shortest and the longest time between two shots, in seconds; None if it cannot be chosen.
    """

    name: str
    n_qubits: int
    gates: frozenset[str]
    configuration: bytes
    properties: bytes
    calibration: str
    version: str = ""
    rep_delay_range: tuple[float, float] | None = None

    def __repr__(self) -> str:
        """Its name, without the documents."""
        return f"IbmDevice({self.name}, {self.n_qubits} qubits, calibration {self.calibration[:8]})"


class _ConfigurationWire(msgspec.Struct):
    backend_name: str
    n_qubits: int
    basis_gates: list[str]
    backend_version: str = ""
    dynamic_reprate_enabled: bool = False
    rep_delay_range: list[float] | None = None


_configuration = msgspec.json.Decoder(_ConfigurationWire)
_SECONDS_PER_MICROSECOND = 1e-6


def read_device(configuration: bytes, properties: bytes, *, has_fractional: bool = False) -> IbmDevice:
    """The device of which these are the answers of ``/configuration`` and ``/properties``; empty: it has none.

    Raises InvalidResultError if one cannot be read.
    """
    try:
        found = _configuration.decode(configuration)
        calibration = _digest(configuration, properties)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidResultError(f"what IBM says of a device cannot be read: {error}") from error
    if found.n_qubits < 1:
        raise InvalidResultError(f"IBM says that {found.backend_name} has {found.n_qubits} qubits")
    delays = found.rep_delay_range if found.dynamic_reprate_enabled else None
    return IbmDevice(
        name=found.backend_name,
        n_qubits=found.n_qubits,
        gates=frozenset(found.basis_gates) - (frozenset() if has_fractional else FRACTIONAL_GATES),
        configuration=configuration,
        properties=properties,
        calibration=calibration,
        version=found.backend_version,
        rep_delay_range=_in_seconds(delays) if delays and len(delays) == 2 else None,
    )


def check_device(device: IbmDevice, options: Options) -> None:
    """Raise UsageError for a device whose gates qorch does not know, or for options that the device does not have."""
    if not device.gates >= NEEDED_GATES:
        raise UsageError(f"{device.name} has no rz and sx, as all of IBM's devices since 2021 have; choose another")
    if options.has_fractional and not device.gates >= FRACTIONAL_GATES:
        raise UsageError(f"{device.name} has no fractional gates; leave fractional=on out")
    if options.layout and max(options.layout) >= device.n_qubits:
        raise UsageError(
            f"{device.name} has the qubits 0 to {device.n_qubits - 1}; layout= names {max(options.layout)}"
        )
    delay = options.rep_delay_seconds
    if delay is None:
        return
    if device.rep_delay_range is None:
        raise UsageError(f"{device.name} has one delay between shots only; leave rep_delay= out")
    least, most = device.rep_delay_range
    if not least <= delay <= most:
        raise UsageError(f"{device.name} takes rep_delay= from {least:g} to {most:g} seconds, not {delay:g}")


def _in_seconds(microseconds: list[float]) -> tuple[float, float]:
    """A range that the configuration gives in microseconds."""
    least, most = microseconds
    return least * _SECONDS_PER_MICROSECOND, most * _SECONDS_PER_MICROSECOND


def _digest(configuration: bytes, properties: bytes) -> str:
    documents = [msgspec.json.decode(document) if document else None for document in (configuration, properties)]
    return hashlib.sha256(
        msgspec.json.encode([_undated(each) for each in documents], order="deterministic")
    ).hexdigest()


def _undated(value: Any) -> Any:
    """A document without the dates in it: a value that was measured anew and stayed the same is no change."""
    if isinstance(value, dict):
        return {name: _undated(each) for name, each in value.items() if name not in ("date", "last_update_date")}
    return [_undated(each) for each in value] if isinstance(value, list) else value
