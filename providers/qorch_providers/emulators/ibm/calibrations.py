"""Calibrations of the devices: recorded figures, which change from one calibration to the next.

The first one is the record; in each later one every error differs from the record by a random factor.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.kit.clock import ScaledClock, format_iso
from qorch_providers.emulators.statevector.matrices import Floats

_SPREAD = 0.3
_READOUT = ("prob_meas1_prep0", "prob_meas0_prep1")
_ERRORS = frozenset({*_READOUT, "readout_error", "gate_error"})


@dataclass(frozen=True)
class Calibration:
    """One calibration of a device. ``number``: 0 is the record."""

    device: IbmMachine
    number: int
    made_unix: float
    properties: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its id."""
        return f"{zlib.crc32(self.device.name.encode()):08x}-{self.number:04d}"

    @cached_property
    def body(self) -> bytes:
        """What ``GET /backends/{name}/properties`` answers."""
        return msgspec.json.encode(self.properties)

    @cached_property
    def gate_errors(self) -> Mapping[tuple[str, tuple[int, ...]], float]:
        """The mean infidelity of each gate."""
        return {
            (gate["gate"], tuple(gate["qubits"])): float(parameter["value"])
            for gate in self.properties["gates"]
            for parameter in gate["parameters"]
            if parameter["name"] == "gate_error"
        }

    @cached_property
    def readout_errors(self) -> Floats:
        """``(qubits, 2)``: the probability that 0 is read as 1, and that 1 is read as 0."""
        tables = [{entry["name"]: entry["value"] for entry in qubit} for qubit in self.properties["qubits"]]
        return np.array([[table[name] for name in _READOUT] for table in tables], dtype=np.float64)


class CalibrationBook:
    """All calibrations of all devices so far."""

    def __init__(self, *, clock: ScaledClock, lasts_seconds: float, seed: int) -> None:
        """``lasts_seconds``: protocol seconds from one calibration to the next; 0: only `calibrate` makes new ones."""
        self._clock = clock
        self._lasts_seconds = lasts_seconds
        self._seed = seed
        self._started_unix = clock.unix()
        self._made: dict[str, list[Calibration]] = {}
        self._by_hand: dict[str, int] = {}

    def current(self, device: IbmMachine) -> Calibration:
        """The newest calibration of a device."""
        made = self._made.setdefault(device.name, [])
        if not made:
            made.append(self._make(device, 0))
        for number in range(len(made), self._number(device) + 1):
            made.append(self._make(device, number))
        return made[-1]

    def calibrate(self, device: IbmMachine) -> Calibration:
        """Make a new calibration now."""
        self.current(device)
        self._by_hand[device.name] = self._by_hand.get(device.name, 0) + 1
        return self.current(device)

    def before(self, device: IbmMachine, unix: float) -> Calibration:
        """The newest calibration that is older than that; the first one if all are newer."""
        self.current(device)
        made = self._made[device.name]
        return next((each for each in reversed(made) if each.made_unix < unix), made[0])

    def find(self, device: IbmMachine, calibration_id: str) -> Calibration | None:
        """The calibration of that id."""
        self.current(device)
        return next((each for each in self._made[device.name] if each.id == calibration_id), None)

    def _number(self, device: IbmMachine) -> int:
        by_hand = self._by_hand.get(device.name, 0)
        if not self._lasts_seconds:
            return by_hand
        return by_hand + int(self._clock.protocol_seconds() / self._lasts_seconds)

    def _make(self, device: IbmMachine, number: int) -> Calibration:
        made_unix = self._started_unix if number == 0 else self._clock.unix()
        rng = np.random.default_rng([self._seed, zlib.crc32(device.name.encode()), number])
        properties = dict(device.recorded) if number == 0 else _drift(device.recorded, rng)
        properties["last_update_date"] = format_iso(made_unix)
        return Calibration(device, number, made_unix, properties)


def _drift(recorded: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The recorded properties with other errors."""
    qubits = [[_change(entry, rng) for entry in qubit] for qubit in recorded["qubits"]]
    gates = [gate | {"parameters": [_change(entry, rng) for entry in gate["parameters"]]} for gate in recorded["gates"]]
    return {**recorded, "qubits": qubits, "gates": gates}


def _change(entry: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    value = float(entry["value"])
    if entry["name"] not in _ERRORS:
        return entry
    # A gate that does not work has the error 1, and stays so.
    return entry if value >= 1.0 else entry | {"value": min(0.5, value * float(rng.lognormal(0.0, _SPREAD)))}
