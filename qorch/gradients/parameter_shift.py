"""Parameter-shift gradients: a pub becomes forward and shifted rows, and their values its gradient."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qorch.errors import ObservableError, ParameterError, UnknownNameError, UsageError
from qorch.gradients.shift_rules import shift_rule
from qorch.model.arrays import FloatArray, IntArray, freeze
from qorch.model.circuit import Circuit
from qorch.model.counts import Counts
from qorch.model.kinds import as_items
from qorch.model.pub import Batch, Pub, as_batch
from qorch.model.result import PubResult, SampledDistribution

BoolArray = npt.NDArray[np.bool_]


KEPT_RULES = 32
"""Circuits whose rules are kept: a training loop asks for the same ones in every step."""


@dataclass(frozen=True, eq=False)
class ShiftTerms:
    """What the derivatives of a circuit by P wanted parameters are made of, at whatever point.

    Term t shifts the angle ``columns[t]`` by ``shifts[t]`` radians and counts ``coefficients[t]`` in the
    derivative by that angle; all are ``(T,)``. ``weights (T, P)`` is the coefficient times the derivative
    of the angle by each parameter, and 0 for the L terms ``row_terms (L,)`` of non-linear angles, where it
    differs from row to row.
    """

    parameters: tuple[str, ...]
    wanted: BoolArray
    columns: IntArray
    shifts: FloatArray
    coefficients: FloatArray
    weights: FloatArray
    row_terms: IntArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.wanted, self.columns, self.shifts, self.coefficients, self.weights, self.row_terms):
            freeze(array)

    @cached_property
    def pairs(self) -> tuple[IntArray, IntArray, IntArray]:
        """The parameters and terms whose weight is not 0, parameter by parameter, and where each parameter begins."""
        parameters, terms = np.nonzero(self.weights.T)
        starts = np.flatnonzero(np.r_[True, parameters[1:] != parameters[:-1]])
        return parameters, terms, starts


@dataclass(frozen=True, eq=False)
class Recombination:
    """How the values of N × (1 + T) rows become N gradients by P wanted parameters.

    ``row_weights (N, L, P)`` are the weights of the L terms of non-linear angles, row by row.
    """

    pub: Pub
    terms: ShiftTerms
    row_weights: FloatArray

    def __post_init__(self) -> None:
        """Make the array read-only."""
        freeze(self.row_weights)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the P parameters."""
        return self.terms.parameters

    @property
    def n_rows(self) -> int:
        """N: the rows of the original pub."""
        return self.pub.n_rows

    @property
    def rows_per_point(self) -> int:
        """1 + T: the forward row of a parameter point, and its shifted ones."""
        return 1 + len(self.terms.columns)


def expand(pub: Pub, *, wanted: BoolArray | None = None) -> tuple[Batch, Recombination]:
    """The rows that the gradient of a pub needs, and how to put their values together.

    ``wanted (P,)`` chooses parameters; None is all. The batch holds one pub whose parameters are the D angles
    of the circuit, with N × (1 + T) rows: for every original row the row itself, then each of T shifts of one
    angle. Angles that no wanted parameter drives are not shifted. Raises ObservableError if the pub has no
    observable, ParameterError if ``wanted`` has another shape or a non-linear angle has no derivative at a
    row.
    """
    if pub.observables == ():
        raise ObservableError("a gradient needs an observable; write for example observables=['Z0']")
    chosen = _as_wanted(wanted, len(pub.circuit.parameters))
    terms = _terms(pub.circuit, chosen.tobytes())
    row_weights = _row_weights(pub, terms)
    angles = _shifted(pub.circuit.angle_map.angles(pub.parameter_values), terms)
    rows = Pub(pub.circuit.free, angles, observables=pub.observables, shots=pub.shots)
    return Batch((rows,)), Recombination(pub, terms, row_weights)


def wanted_parameters(pub: Pub, names: Sequence[str] | None) -> BoolArray | None:
    """Which parameters these names are, ``(P,)``; None is all. Raises UnknownNameError for one that is not there."""
    if names is None:
        return None
    names = [names] if isinstance(names, str) else as_items(names, "wanted", wanted="names of parameters")
    known = pub.circuit.parameters
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise UnknownNameError(f"the circuit has no parameter '{name}'; it has {', '.join(known)}")
    return np.array([name in names for name in known])


def _as_wanted(wanted: BoolArray | None, n_parameters: int) -> BoolArray:
    if wanted is None:
        return np.ones(n_parameters, dtype=np.bool_)
    chosen = np.asarray(wanted)
    if chosen.dtype != np.bool_ or chosen.shape != (n_parameters,):
        raise ParameterError(
            f"wanted is an array of {chosen.dtype} of shape {chosen.shape}; it must hold one bool for each of"
            f" the {n_parameters} parameters"
        )
    return chosen


@functools.lru_cache(maxsize=KEPT_RULES)
def _terms(circuit: Circuit, wanted: bytes) -> ShiftTerms:
    chosen = np.frombuffer(wanted, dtype=np.bool_)
    driven = circuit.angle_map.driven_columns(chosen)
    frequencies = circuit.gates.column_frequencies
    rules = [shift_rule(*frequencies[column]) for column in driven]
    columns = np.repeat(driven, [len(shifts) for shifts, _ in rules]).astype(np.int64)
    none = np.zeros(0)
    coefficients = np.concatenate([none, *(coefficients for _, coefficients in rules)])
    nonlinear = [angle.column for angle in circuit.angle_map.nonlinear]
    return ShiftTerms(
        parameters=tuple(name for name, is_chosen in zip(circuit.parameters, chosen, strict=True) if is_chosen),
        wanted=chosen,
        columns=columns,
        shifts=np.concatenate([none, *(shifts for shifts, _ in rules)]),
        coefficients=coefficients,
        weights=coefficients[:, np.newaxis] * circuit.angle_map.matrix[columns][:, chosen],
        row_terms=np.flatnonzero(np.isin(columns, nonlinear)),
    )


def _shifted(angles: FloatArray, terms: ShiftTerms) -> FloatArray:
    n_rows, width = angles.shape
    n_terms = len(terms.columns)
    rows = np.repeat(angles[:, np.newaxis, :], 1 + n_terms, axis=1)
    rows[:, 1 + np.arange(n_terms), terms.columns] += terms.shifts
    return rows.reshape(n_rows * (1 + n_terms), width)


def _row_weights(pub: Pub, terms: ShiftTerms) -> FloatArray:
    weights = np.zeros((pub.n_rows, len(terms.row_terms), len(terms.parameters)))
    places = np.cumsum(terms.wanted) - 1
    for angle in pub.circuit.angle_map.nonlinear:
        own = np.flatnonzero(terms.columns[terms.row_terms] == angle.column)
        for parameter, program in zip(angle.parameters, angle.derivatives, strict=True):
            if terms.wanted[parameter]:
                slopes = program.evaluate(pub.parameter_values)
                _check_slopes(slopes, pub.circuit.parameters[parameter])
                coefficients = terms.coefficients[terms.row_terms[own]]
                weights[:, own, places[parameter]] = slopes[:, np.newaxis] * coefficients
    return weights


def _check_slopes(slopes: FloatArray, name: str) -> None:
    if not np.isfinite(slopes).all():
        row = int(np.flatnonzero(~np.isfinite(slopes))[0])
        raise ParameterError(
            f"an angle expression of the circuit has no finite derivative by '{name}' at row {row};"
            " move the parameter away from that point"
        )


def forward_result(recombination: Recombination, result: PubResult) -> PubResult:
    """The result of the original pub: that of the unshifted rows. Charge and timeline are the call's."""
    chosen = np.arange(recombination.n_rows) * recombination.rows_per_point
    pub = recombination.pub.with_shots(result.pub.shots)
    if isinstance(result, SampledDistribution):
        return SampledDistribution(
            pub=pub,
            samples=result.samples[0].take(chosen),
            shots=result.shots[chosen],
            sources=result.sources[chosen],
            charge=result.charge,
            timeline=result.timeline,
        )
    return PubResult(
        pub=pub,
        values=result.values[chosen],
        stderr=result.stderr[chosen],
        shots=result.shots[chosen],
        sources=result.sources[chosen],
        charge=result.charge,
        timeline=result.timeline,
        samples=tuple(counts.take(chosen) for counts in result.samples),
    )


@dataclass(frozen=True, eq=False)
class Gradient:
    """Derivatives of N × K expectation values by P parameters, named ``parameters``.

    ``values (N, K, P)`` per radian of parameter; ``forward`` is the result of the unshifted rows, which left in the
    same call as the shifted ones; ``rows`` is the result of them all.
    """

    values: FloatArray
    forward: PubResult
    recombination: Recombination
    rows: PubResult

    def __repr__(self) -> str:
        """Its size, without the arrays."""
        n_rows, n_values, n_parameters = self.values.shape
        return f"Gradient({n_rows} rows, {n_values} values each, by {n_parameters} parameters)"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the P parameters."""
        return self.recombination.parameters

    @cached_property
    def stderr(self) -> FloatArray:
        """Standard errors ``(N, K, P)``; computed when asked for, since training itself does not need them.

        The rows are independent samples: the variance is the sum of squared weights times the rows' variances.
        """
        variances = _contract(_shifted_rows(self.recombination, self.rows.stderr) ** 2, self.recombination, power=2)
        return np.asarray(np.sqrt(variances, out=variances))


def expand_all(
    pubs: Sequence[Pub], wanted: Sequence[npt.NDArray[np.bool_] | None]
) -> tuple[Batch, list[Recombination]]:
    """The forward and shifted rows of several pubs as one batch, and how each is recombined; see ``expand``."""
    items, masks = as_batch(pubs).pubs, as_items(wanted, "wanted", wanted="one array of bools, or None, for each pub")
    if len(masks) != len(items):
        raise UsageError(
            f"wanted has {len(masks)} entries for {len(items)} pubs; give one array of bools, or None, each"
        )
    expanded = [expand(pub, wanted=mask) for pub, mask in zip(items, masks, strict=True)]
    return Batch(tuple(part for small, _ in expanded for part in small.pubs)), [after for _, after in expanded]


def recombine(recombination: Recombination, result: PubResult) -> Gradient:
    """The gradient from the result of the expanded pub. Raises UsageError if that has another number of rows."""
    if isinstance(result, SampledDistribution) and not len(recombination.terms.row_terms):
        values = _contract_counts(result.samples[0], recombination)
    else:
        values = _contract(_shifted_rows(recombination, result.values), recombination)
    return Gradient(values, forward_result(recombination, result), recombination, result)


def _shifted_rows(recombination: Recombination, values: FloatArray) -> FloatArray:
    _check_rows(recombination, len(values))
    return values.reshape(recombination.n_rows, recombination.rows_per_point, -1)[:, 1:, :]


def _check_rows(recombination: Recombination, n_rows: int) -> None:
    expected = recombination.n_rows * recombination.rows_per_point
    if n_rows != expected:
        raise UsageError(f"the result has {n_rows} rows; the expanded pub has {expected}")


def _contract(values: FloatArray, recombination: Recombination, *, power: int = 1) -> FloatArray:
    """``(N, T, K)`` values times the weights, raised to a power, summed over the terms: ``(N, K, P)``.

    Nearly all weights are 0, a term belonging to one angle and an angle mostly to one parameter: only the others
    are multiplied, and summed parameter by parameter in a fixed order.
    """
    rule = recombination.terms
    total = np.zeros((len(values), len(rule.parameters), values.shape[2]))
    parameters, terms, starts = rule.pairs
    if len(terms):
        weighted = values[:, terms, :]
        weighted *= rule.weights[terms, parameters][:, np.newaxis] ** power
        total[:, parameters[starts], :] = np.add.reduceat(weighted, starts, axis=1)
    if len(rule.row_terms):
        row_weights = recombination.row_weights.transpose(0, 2, 1) ** power
        total += np.matmul(row_weights, values[:, rule.row_terms, :])
    return total.transpose(0, 2, 1)


def _contract_counts(counts: Counts, recombination: Recombination) -> FloatArray:
    """The same for the frequencies of counted outcomes, ``(N, 2**n, P)``: unseen outcomes are never touched."""
    _check_rows(recombination, counts.n_rows)
    n_values, n_parameters = 1 << counts.n_qubits, len(recombination.parameters)
    size = recombination.n_rows * n_parameters * n_values
    rows = counts.row_of_entry
    shares = counts.counts / counts.shots[rows]
    points, terms = np.divmod(rows, recombination.rows_per_point)
    total = np.zeros(size)
    for parameters, weights in _layers(recombination.terms.weights):
        factors = np.r_[0.0, weights][terms]
        seen = np.flatnonzero(factors)
        places = np.r_[0, parameters][terms[seen]] + points[seen] * n_parameters
        outcomes = places * n_values + counts.outcomes[seen].astype(np.int64)
        total += np.bincount(outcomes, weights=shares[seen] * factors[seen], minlength=size)
    return total.reshape(-1, n_parameters, n_values).transpose(0, 2, 1)


def _layers(weights: FloatArray) -> Iterator[tuple[IntArray, FloatArray]]:
    """The first weight of every term that is not 0, then the second, …: parameters and weights ``(T,)`` each."""
    present = weights != 0.0
    order = np.argsort(~present, axis=1, kind="stable")
    for layer in range(int(present.sum(axis=1).max(initial=0))):
        parameters = order[:, layer]
        yield parameters, weights[np.arange(len(weights)), parameters]
