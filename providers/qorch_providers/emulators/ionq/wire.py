"""The JSON that clients send, as typed structs; lenient where the live service is known to be."""

from typing import TypeVar

import msgspec

from qorch.errors import UsageError


class GateWire(msgspec.Struct, gc=False):
    """One gate of either gate set; fields that do not belong to it are None."""

    gate: str
    target: int | None = None
    targets: tuple[int, ...] | None = None
    control: int | None = None
    controls: tuple[int, ...] | None = None
    rotation: float | None = None
    phase: float | None = None
    phases: tuple[float, ...] | None = None
    angle: float | None = None
    terms: tuple[str, ...] | None = None
    coefficients: tuple[float, ...] | None = None
    time: float | None = None


class CircuitWire(msgspec.Struct):
    """One entry of a multi-circuit job."""

    circuit: list[GateWire]
    name: str | None = None
    gateset: str | None = None
    qubits: int | None = None


class InputWire(msgspec.Struct):
    """The input of a job: one circuit or several. ``format`` is v0.3's type."""

    gateset: str = "qis"
    qubits: int | None = None
    circuit: list[GateWire] | None = None
    circuits: list[CircuitWire] | None = None
    data: str | None = None
    format: str | None = None


class NoiseWire(msgspec.Struct):
    """The noise of a simulator job."""

    model: str = "ideal"
    seed: int | None = None


class JobWire(msgspec.Struct):
    """The body of ``POST /jobs``; v0.3 says ``target`` and ``error_mitigation``, v0.4 ``backend`` and ``settings``."""

    input: InputWire
    type: str | None = None
    backend: str | None = None
    target: str | None = None
    name: str | None = None
    shots: int | str | None = None
    metadata: dict[str, str] | None = None
    noise: NoiseWire | None = None
    settings: dict[str, object] | None = None
    error_mitigation: dict[str, object] | None = None
    dry_run: bool | None = None
    session_id: str | None = None


class IdsWire(msgspec.Struct):
    """The body of calls on several jobs."""

    ids: list[str]


class CostLimitWire(msgspec.Struct):
    """How much the jobs of a session may cost."""

    unit: str
    value: float


class SessionLimitsWire(msgspec.Struct):
    """At which a session takes no more jobs; None: not limited by that."""

    job_count_limit: int | None = None
    duration_limit_min: int | None = None
    cost_limit: CostLimitWire | None = None


class SessionWire(msgspec.Struct):
    """The body of ``POST /sessions``."""

    backend: str
    settings: SessionLimitsWire = msgspec.field(default_factory=SessionLimitsWire)


_Wire = TypeVar("_Wire")


def decode_job(body: bytes) -> JobWire:
    """Read a submission. Raises UsageError, saying where it is wrong."""
    return _decode(body, JobWire)


def decode_ids(body: bytes) -> list[str]:
    """Read a list of job ids. Raises UsageError."""
    return _decode(body, IdsWire).ids


def decode_session(body: bytes) -> SessionWire:
    """Read a request for a session. Raises UsageError."""
    return _decode(body, SessionWire)


def _decode(body: bytes, kind: type[_Wire]) -> _Wire:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not valid: {error}") from error
