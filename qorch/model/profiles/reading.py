"""Reads latency profiles: TOML files whose every complaint names the file and the line."""

import math
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

import msgspec

from qorch.errors import UsageError
from qorch.model.latency import Latency, parse_latency
from qorch.model.profiles.profile import (
    ClosureFigures,
    DeviceLimits,
    FaultFigures,
    LatencyFigures,
    Profile,
    ProviderFacts,
    ShareFigure,
    TimeFigure,
)
from qorch.model.toml import Path, TomlFile, parse_toml
from qorch.model.usage import UsageUnit


class _Time(msgspec.Struct, forbid_unknown_fields=True):
    seconds: str
    source: str
    observations: int = 0


class _Share(msgspec.Struct, forbid_unknown_fields=True):
    share: int | Decimal
    source: str
    observations: int = 0


class _Closures(msgspec.Struct, forbid_unknown_fields=True):
    every: _Time
    lasts: _Time


class _Facts(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    settle_seconds: int | Decimal = 30
    most_jobs: int = 100
    remembers_keys_seconds: int | Decimal = 0
    rate_calls: int = 0
    rate_seconds: int | Decimal = 1
    at_once: int = 1
    tells_start: bool = True
    queue_step_seconds: int | Decimal | None = None
    usage: list[UsageUnit] = []


class _Limits(msgspec.Struct, forbid_unknown_fields=True):
    max_qubits: int
    max_shots: int
    max_rows_per_job: int
    source: str


_Latencies = msgspec.defstruct(
    "_Latencies", [(each.name, _Time | None, None) for each in fields(LatencyFigures)], forbid_unknown_fields=True
)
_Faults = msgspec.defstruct(
    "_Faults", [(each.name, _Share | None, None) for each in fields(FaultFigures)], forbid_unknown_fields=True
)


class _WrittenProfile(msgspec.Struct, forbid_unknown_fields=True):
    description: str
    backends: list[str] = []
    latencies: _Latencies = msgspec.field(default_factory=_Latencies)  # type: ignore[valid-type]
    faults: _Faults = msgspec.field(default_factory=_Faults)  # type: ignore[valid-type]
    closures: _Closures | None = None
    facts: _Facts | None = None
    limits: _Limits | None = None


def read_profile(text: str, *, name: str, origin: str) -> Profile:
    """The profile in a file. ``name``: what it is called; ``origin``: the file, for messages.

    What a profile leaves out is 0: no wait, no fault, no closure. Raises ConfigError, naming file and line, for
    whatever is not known, or cannot be.
    """
    file = parse_toml(text, name=origin)
    written = file.convert(_WrittenProfile)
    return Profile(
        name=name,
        description=written.description,
        backends=tuple(written.backends),
        latencies=LatencyFigures(**_times(written.latencies, file, ("latencies",))),
        faults=FaultFigures(**_shares(written.faults, file, ("faults",))),
        closures=_closures(written.closures, file),
        facts=_facts(written.facts, file),
        limits=None if written.limits is None else _limits(written.limits, file),
        origin=origin,
    )


def _given(table: Any) -> Mapping[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(table).items() if value is not None}


def _times(table: Any, file: TomlFile, path: Path) -> dict[str, TimeFigure]:
    return {key: _time(value, file, (*path, key)) for key, value in _given(table).items()}


def _time(written: _Time, file: TomlFile, path: Path) -> TimeFigure:
    _check_observations(written.observations, file, path)
    return TimeFigure(_latency(written.seconds, file, path), written.source, written.observations)


def _latency(seconds: str, file: TomlFile, path: Path) -> Latency:
    try:
        return parse_latency(seconds)
    except UsageError as error:
        raise file.error(str(error), path) from error


def _shares(table: Any, file: TomlFile, path: Path) -> dict[str, ShareFigure]:
    found = {}
    for key, written in _given(table).items():
        where = (*path, key)
        _check_observations(written.observations, file, where)
        share = float(written.share)
        if not 0.0 <= share <= 1.0:
            raise file.error(f"the share of {key} is {written.share}; write a number from 0 to 1", where)
        found[key] = ShareFigure(share, written.source, written.observations)
    return found


def _check_observations(count: int, file: TomlFile, path: Path) -> None:
    if count < 0:
        raise file.error(f"observations are {count}; write 0 or more, or leave it out", path)


def _closures(written: _Closures | None, file: TomlFile) -> ClosureFigures | None:
    if written is None:
        return None
    closures = ClosureFigures(
        _time(written.every, file, ("closures", "every")), _time(written.lasts, file, ("closures", "lasts"))
    )
    if closures.every.seconds.mean_seconds <= closures.lasts.seconds.mean_seconds:
        raise file.error("a closure begins before the last one ends: every= must be longer than lasts=", ("closures",))
    return closures


def _facts(written: _Facts | None, file: TomlFile) -> ProviderFacts:
    if written is None:
        return ProviderFacts()
    given = _given(written)
    for key, value in given.items():
        least = _LEAST.get(key)
        if least is not None and not least <= float(value) < math.inf:
            raise file.error(f"{key} is {value}; write {least} or more", ("facts", key))
    numbers: dict[str, Any] = {key: float(value) if key.endswith("_seconds") else value for key, value in given.items()}
    return ProviderFacts(**numbers | {"usage": tuple(written.usage)})


_LEAST = {
    "settle_seconds": 0, "most_jobs": 1, "remembers_keys_seconds": 0, "rate_calls": 0, "rate_seconds": 0.001,
    "at_once": 1, "queue_step_seconds": 0.001,
}  # fmt: skip


def _limits(written: _Limits, file: TomlFile) -> DeviceLimits:
    limits = DeviceLimits(**msgspec.structs.asdict(written))
    for key in ("max_qubits", "max_shots", "max_rows_per_job"):
        if getattr(limits, key) < 1:
            raise file.error(f"{key} is {getattr(limits, key)}; write 1 or more", ("limits", key))
    return limits
