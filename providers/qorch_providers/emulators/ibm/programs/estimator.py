"""The estimator program: expectation values of every PUB with their standard errors.

Misreadings are mitigated with their probabilities known, and noise is extrapolated to none, if the options ask for it
or the level of resilience does, as in the real service. Other options of resilience have no effect.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.programs.extrapolation import Extrapolation, extrapolate, read_extrapolation
from qorch_providers.emulators.ibm.programs.noise import DeviceNoise
from qorch_providers.emulators.ibm.programs.observables import MeasuredTerms, Term, group_terms, read_observables
from qorch_providers.emulators.ibm.programs.outcome import JobOutcome, check_executions
from qorch_providers.emulators.ibm.programs.pubs import BoundPub, numbers, pub_value, read_bound
from qorch_providers.emulators.ibm.programs.sampling import Bits, sample_qubits
from qorch_providers.emulators.ibm.programs.values import typed
from qorch_providers.emulators.statevector.matrices import Floats

DEFAULT_PRECISION = 1.0 / 64.0
_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class _EstimatorPub:
    """One PUB that was read. ``shape``: that of its values, broadcast from rows and observables."""

    bound: BoundPub
    observables: list[list[Term]]
    observable_shape: tuple[int, ...]
    shape: tuple[int, ...]
    shots: int
    precision: float

    @property
    def n_groups(self) -> int:
        """In how many bases each row is measured."""
        return max(1, len(group_terms(self.observables)[0]))

    def pairs(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """For each value, in order, its row and the place of its observable."""
        rows = np.arange(len(self.bound.values)).reshape(self.bound.shape)
        places = np.arange(len(self.observables)).reshape(self.observable_shape)
        return np.broadcast_to(rows, self.shape).reshape(-1), np.broadcast_to(places, self.shape).reshape(-1)


def run_estimator(
    params: Mapping[str, Any], device: IbmMachine, noise: DeviceNoise | None, rng: np.random.Generator
) -> JobOutcome:
    """Run a job's PUBs. Raises UsageError, CircuitError."""
    precision = _default_precision(params.get("options") or {})
    plan = read_extrapolation(params)
    pubs = [_read_pub(pub, device, precision) for pub in params.get("pubs", [])]
    if not pubs:
        raise UsageError("a job has at least one PUB")
    circuits = [len(pub.bound.values) * pub.n_groups * len(plan.factors) for pub in pubs]
    rows = sum(circuits)
    executions = sum(each * pub.shots for each, pub in zip(circuits, pubs, strict=True))
    check_executions(executions)
    is_mitigated = _is_mitigated(params)
    results = [_run_pub(pub, noise, is_mitigated, plan, rng) for pub in pubs]
    document = typed("PrimitiveResult", {"pub_results": results, "metadata": {"version": 2}})
    return JobOutcome(rows, executions, lambda _start, _end: document)


def _default_precision(options: Mapping[str, Any]) -> float:
    """For PUBs without one; numbers of random circuits and of their shots come before a number of shots."""
    twirling = options.get("twirling") or {}
    is_twirled = twirling.get("enable_gates") or twirling.get("enable_measure")
    numbers = [twirling.get(name, "auto") for name in ("num_randomizations", "shots_per_randomization")]
    shots = options.get("default_shots")
    if is_twirled and all(isinstance(number, int) for number in numbers):
        shots = numbers[0] * numbers[1]
    return 1.0 / math.sqrt(shots) if shots else options.get("default_precision") or DEFAULT_PRECISION


def _is_mitigated(params: Mapping[str, Any]) -> bool:
    wanted = (params.get("options") or {}).get("resilience", {}).get("measure_mitigation")
    return params.get("resilience_level", 1) > 0 if wanted is None else bool(wanted)


def _read_pub(pub: Any, device: IbmMachine, default_precision: float) -> _EstimatorPub:
    if not isinstance(pub, list) or not 2 <= len(pub) <= 4:
        raise UsageError("a PUB of the estimator is a list of a circuit, observables, parameter values and a precision")
    circuit, observables, values, precision = [*pub, None, None][:4]
    bound = read_bound(circuit, values, device)
    observable_shape, terms = read_observables(observables)
    try:
        shape = np.broadcast_shapes(bound.shape, observable_shape)
    except ValueError as error:
        raise UsageError(f"values of shape {bound.shape} do not fit observables of {observable_shape}") from error
    number = default_precision if precision is None else precision
    if not isinstance(number, int | float) or number <= 0.0:
        raise UsageError(f"a precision must be above 0, not {number}")
    # An exact square root must not be rounded up to one shot more.
    shots = math.ceil(1.0 / number**2 - 1e-6)
    return _EstimatorPub(bound, terms, observable_shape, shape, shots, float(number))


def _run_pub(
    pub: _EstimatorPub, noise: DeviceNoise | None, is_mitigated: bool, plan: Extrapolation, rng: np.random.Generator
) -> dict[str, object]:
    groups, constants = group_terms(pub.observables)
    read = noise.symmetric() if noise is not None and is_mitigated else noise
    means, variances = np.zeros((2, len(plan.factors), len(pub.bound.values), len(constants)))
    for index, factor in enumerate(plan.factors):
        amplified = read if read is None or factor == 1.0 else read.amplified(factor)
        for group in groups:
            _add_group(group, pub, amplified, is_mitigated, rng, means[index], variances[index])
    variances /= pub.shots
    found, spread = extrapolate(means, variances, plan) if plan.extrapolators else (means[0], variances[0])
    rows, places = pub.pairs()
    errors = np.sqrt(spread)[rows, places]
    fields = {"evs": numbers((found + constants)[rows, places], pub.shape), "stds": numbers(errors, pub.shape)}
    if plan.extrapolators:
        shape = (*pub.shape, len(plan.factors))
        raw, raw_errors = ((part[:, rows, places]).T for part in (means + constants, np.sqrt(variances)))
        fields |= {"evs_noise_factors": numbers(raw, shape), "stds_noise_factors": numbers(raw_errors, shape)}
    else:
        fields["ensemble_standard_error"] = numbers(errors, pub.shape)
    metadata = {"shots": pub.shots, "target_precision": pub.precision, "circuit_metadata": pub.bound.metadata,
                "resilience": {}, "num_randomizations": 1}  # fmt: skip
    return pub_value("PubResult", pub.shape, fields, metadata)


def _add_group(
    group: MeasuredTerms,
    pub: _EstimatorPub,
    noise: DeviceNoise | None,
    is_mitigated: bool,
    rng: np.random.Generator,
    means: Floats,
    variances: Floats,
) -> None:
    """Measure all rows in one basis, and add to means and variances ``(R, K)`` what they give."""
    qubits = tuple(sorted(group.bases))
    for start in range(0, len(means), _ROWS_AT_ONCE):
        values = pub.bound.values[start : start + _ROWS_AT_ONCE]
        bits = sample_qubits(
            pub.bound.circuit, values, qubits, shots=pub.shots, noise=noise, rng=rng, rotations=group.rotations
        )
        by_place: dict[int, Floats] = {}
        for place, term in group.terms:
            scale = term.coefficient
            if noise is not None and is_mitigated:
                scale /= _attenuation(term, noise)
            by_place[place] = by_place.get(place, 0.0) + scale * _product(term, qubits, bits)
        for place, outcomes in by_place.items():
            means[start : start + len(values), place] += outcomes.mean(axis=1)
            variances[start : start + len(values), place] += outcomes.var(axis=1)


def _product(term: Term, qubits: tuple[int, ...], bits: Bits) -> Floats:
    """What each shot ``(R, shots)`` counts for a term."""
    product = np.ones(bits.shape[:2])
    for qubit in term.factors:
        product *= np.array(term.values(qubit))[bits[:, :, qubits.index(qubit)]]
    return product


def _attenuation(term: Term, noise: DeviceNoise) -> float:
    """By how much symmetric misreading weakens a product of Paulis; projectors are not mitigated."""
    if not set(term.factors.values()) <= set("XYZ"):
        return 1.0
    kept: float = np.prod([1.0 - noise.readout_errors[qubit].sum() for qubit in term.factors])
    return max(kept, 1e-3)
