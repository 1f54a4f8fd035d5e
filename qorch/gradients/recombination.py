"""From the values of rows to derivatives: weighted sums, whatever the method."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qorch.errors import UsageError
from qorch.model.arrays import FloatArray, IntArray, freeze
from qorch.model.counts import Counts
from qorch.model.pub import Pub
from qorch.model.result import PubResult, SampledDistribution


@dataclass(frozen=True, eq=False)
class LinearTerms:
    """How T rows beside each parameter point count in the derivatives by P parameters, named ``parameters``.

    ``weights (T, P)`` are the same at every point. They are 0 for the L terms ``row_terms (L,)`` whose weights differ
    from point to point, and are kept by the Recombination.
    """

    parameters: tuple[str, ...]
    weights: FloatArray
    row_terms: IntArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.weights, self.row_terms):
            freeze(array)

    @property
    def n_terms(self) -> int:
        """T."""
        return len(self.weights)

    @cached_property
    def pairs(self) -> tuple[IntArray, IntArray, IntArray]:
        """The parameters and terms whose weight is not 0, parameter by parameter, and where each parameter begins."""
        parameters, terms = np.nonzero(self.weights.T)
        starts = np.flatnonzero(np.r_[True, parameters[1:] != parameters[:-1]])
        return parameters, terms, starts


@dataclass(frozen=True, eq=False)
class Recombination:
    """How the values of N × (1 + T) rows become N gradients by P wanted parameters.

    ``row_weights (N, L, P)`` are the weights of the L terms in which points differ: those of non-linear angles, and of
    random directions.
    """

    pub: Pub
    terms: LinearTerms
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
        """1 + T: the forward row of a parameter point, and those beside it."""
        return 1 + self.terms.n_terms


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
