"""Gradient methods: their names and options, the rows that they need, and that their mean is the gradient."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch.errors import ObservableError, ParameterError, ShotsError, UnknownNameError, UsageError
from qorch.gradients.finite_difference import FiniteDifference
from qorch.gradients.methods import GRADIENTS, CallStreams, as_method, expand_all
from qorch.gradients.perturbation import SimultaneousPerturbation
from qorch.gradients.recombination import Gradient, recombine
from qorch.gradients.sampled_shift import SampledShift
from qorch.gradients.streams import PubStream, draw_signs, draw_subset
from qorch.model.identity import Position, gradient_stream_of, stream_of
from qorch.model.pub import Batch
from qorch.model.result import PubResult
from qorch.run.evaluation import Evaluation, evaluate_on
from qorch.workloads.digits import build_circuit

MEASURED = [name for name in GRADIENTS if name != "exact"]
RANDOM = ["spsa:c=0.001,gamma=0", "spsa:c=0.001,directions=3", "sampled-shift", "sampled-shift:share=0.6"]


@pytest.fixture(scope="module")
def local() -> Iterator[Evaluation]:
    """The local backend, with exact values."""
    with evaluate_on("local", shots=None) as evaluation:
        yield evaluation


def random_pub(seed: int, *, rows: int = 3, distribution: bool = False) -> qorch.Pub:
    """Three qubits; shared, scaled, controlled and non-linear angles of two inputs and three weights."""
    random = np.random.default_rng(seed)
    x, w = ParameterVector("x", 2), ParameterVector("w", 3)
    parameters = [*x, *w]
    circuit = QuantumCircuit(3)
    circuit.ry(x[0] * x[1] + 0.3, 0)
    for _ in range(6):
        one, two = (parameters[index] for index in random.integers(0, 5, 2))
        first, second = random.permutation(3)[:2].tolist()
        kind = random.integers(4)
        if kind == 0:
            circuit.rx(one * float(random.normal()) + 0.5, first)
        elif kind == 1:
            circuit.crx(one + two, first, second)
        elif kind == 2:
            circuit.ry(one * two, first)
        else:
            circuit.rzz(one * one, first, second)
        circuit.h(second)
    for parameter in parameters:
        circuit.ry(parameter, int(random.integers(3)))
    names = [str(parameter.name) for parameter in circuit.parameters]
    values = random.uniform(0.2, 1.2, (rows, 5))
    shared = [index for index, name in enumerate(names) if name.startswith("w")]
    values[:, shared] = values[0, shared]
    observables = qorch.probabilities() if distribution else ["Z0", "0.5*X0 Y1 - Z2", "Z0 Z2"]
    return qorch.Pub(circuit, values, observables=observables, shots=None)


def gradients_of(
    pub: qorch.Pub, name: str, local: Evaluation, *, wanted: np.ndarray | None = None, draws: int = 1
) -> list[Gradient]:
    """Exact values, recombined by the method, for as many draws of its random numbers; all executed as one batch."""
    method = as_method(name)
    batches, recombinations = [], []
    for draw in range(draws):
        rows, recombination = method.expand(pub, wanted=wanted, stream=PubStream(1, Position(0, draw), 0))
        batches.append(rows)
        recombinations.append(recombination)
    return list(map(recombine, recombinations, local.execute(Batch(tuple(batches)))))


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("spsa", SimultaneousPerturbation()),
        ("spsa:directions=4,c=0.1", SimultaneousPerturbation(directions=4, c=0.1)),
        ("spsa: c=0.1 , directions=4", SimultaneousPerturbation(directions=4, c=0.1)),
        ("finite-difference:step=1e-3", FiniteDifference(step=0.001)),
        ("sampled-shift:share=1", SampledShift(share=1.0)),
    ],
)
def test_a_name_has_options_as_a_backends_has(text: str, method: object) -> None:
    """They are read in any order, and the method's own name, which a run records, is read as the same method."""
    read = as_method(text)
    assert read == method
    assert as_method(read.name) == method


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("magic", UnknownNameError, "there is no gradient 'magic'; choose one of parameter-shift, exact, spsa, "),
        ("spsa:", UsageError, "'spsa:' ends with a colon; write spsa, or spsa:OPTION=VALUE"),
        ("spsa:b=1", UnknownNameError, "'spsa:b=1': there is no option 'b'; its options are directions, c, gamma"),
        ("exact:step=1", UnknownNameError, "there is no option 'step'; it has no options"),
        ("spsa:c=1,c=2", UsageError, "'c' is given twice"),
        ("spsa:c=0", UsageError, "c is 0.0; it must be a finite number above 0"),
        ("spsa:c=nan", UsageError, "c is nan; it must be a finite number above 0"),
        ("spsa:c", UsageError, "c is ''; it must be a number, such as c=0.2"),
        ("spsa:directions=1.5", UsageError, "directions is '1.5'; it must be a whole number"),
        ("spsa:directions=0", UsageError, "directions is 0; it must be from 1 to 10000"),
        ("spsa:gamma=-1", UsageError, "gamma is -1.0; it must be a finite number, 0 or above"),
        ("finite-difference:step=inf", UsageError, "step is inf; it must be a finite number above 0"),
        ("sampled-shift:share=2", UsageError, "share is 2.0; it must be at most 1"),
        (5, UsageError, "gradient is 5; give one of parameter-shift"),
    ],
)
def test_a_wrong_name_or_option_is_one_sentence(text: str, error: type[UsageError], words: str) -> None:
    """With the name, what is wrong with it, and what there is."""
    with pytest.raises(error) as caught:
        as_method(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("parameter-shift", 1 + 2 * 32),
        ("exact", 1),
        ("spsa", 3),
        ("spsa:directions=4", 9),
        ("finite-difference", 1 + 2 * 32),
        ("sampled-shift", 1 + 2 * 8),
        ("sampled-shift:share=0.001", 3),
    ],
)
def test_rows_per_point(name: str, rows: int) -> None:
    """The 32 weights of `digits`; the first row of each point is the point itself, and nothing wanted adds no row."""
    pub, weights = digits_pub()
    expanded, recombination = as_method(name).expand(pub, wanted=weights, stream=PubStream(1, Position(0, 0), 0))
    assert (recombination.rows_per_point, expanded.n_rows) == (rows, 4 * rows)
    angles = expanded.circuit.angle_map.angles(expanded.parameter_values)
    np.testing.assert_array_equal(angles[::rows], pub.circuit.angle_map.angles(pub.parameter_values))
    none = as_method(name).expand(pub, wanted=np.zeros(40, dtype=bool), stream=PubStream(1, Position(0, 0), 0))
    assert none[0].n_rows == 4


def digits_pub() -> tuple[qorch.Pub, np.ndarray]:
    """Four points of the circuit of `digits`, and which of its parameters are weights."""
    circuit, _, _ = build_circuit()
    observables = [f"Z{qubit}" for qubit in range(8)]
    pub = qorch.Pub(circuit, np.arange(160).reshape(4, 40) / 64, observables=observables, shots=1024)
    return pub, np.array([name.startswith("w") for name in pub.circuit.parameters])


def test_the_bits_of_parameter_shift_stay() -> None:
    """The rows of a step of `digits`, its gradient and its errors are those of qorch before it had other methods."""
    pub, weights = digits_pub()
    batch, (after,) = expand_all(
        [pub], [weights], method=as_method("parameter-shift"), streams=CallStreams(1, Position(0, 0)), default_shots=9
    )
    (rows,) = batch.pubs
    values = (np.arange(rows.n_rows * 8).reshape(-1, 8) * 7919 % 2049 - 1024) / 1024
    shots, sources = np.full(rows.n_rows, 1024), np.zeros(rows.n_rows, dtype=np.uint8)
    gradient = recombine(after, PubResult(rows, values, np.sqrt(1 - values**2) / 32, shots, sources, None))
    digests = [
        hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
        for array in (rows.parameter_values, gradient.values, gradient.stderr)
    ]
    assert digests == ["e739e5bb85f8c33b", "b75a6ce8dbb3a196", "4aff951109031e89"]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), distribution=st.booleans())
def test_finite_differences_go_over_into_the_shift_rule(local: Evaluation, seed: int, distribution: bool) -> None:
    """On exact values, with an error that shrinks as the square of the step; also for probabilities and masks."""
    pub = random_pub(seed, distribution=distribution)
    wanted = np.random.default_rng(seed).random(5) < 0.7
    (exact,) = gradients_of(pub, "parameter-shift", local, wanted=wanted)
    errors = []
    for step in (1e-1, 1e-2, 1e-3):
        (gradient,) = gradients_of(pub, f"finite-difference:step={step}", local, wanted=wanted)
        assert gradient.parameters == exact.parameters
        assert gradient.values.shape == exact.values.shape
        errors.append(np.abs(gradient.values - exact.values).max(initial=0.0))
    assert errors[2] < 1e-5
    assert errors[1] < errors[0] / 50 + 1e-9


@pytest.mark.parametrize("name", RANDOM)
@settings(max_examples=2, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), distribution=st.booleans())
def test_the_mean_of_random_methods_is_the_gradient(
    local: Evaluation, name: str, seed: int, distribution: bool
) -> None:
    """Over 250 draws, within 4.5 standard errors of the mean, for every row, value and wanted parameter."""
    pub = random_pub(seed, distribution=distribution)
    wanted = np.array([True, True, True, True, seed % 2 == 0])
    (exact,) = gradients_of(pub, "parameter-shift", local, wanted=wanted)
    draws = np.stack([each.values for each in gradients_of(pub, name, local, wanted=wanted, draws=250)])
    errors = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - exact.values) <= 4.5 * errors + 1e-5).all()


def test_the_mean_over_rows_and_cotangents_is_the_gradient_of_a_loss(local: Evaluation) -> None:
    """What a layer's backward pass sums, weights over rows that share a direction, is unbiased, too."""
    pub = random_pub(3, rows=5)
    cotangents = np.random.default_rng(0).normal(size=(5, 3))
    (exact,) = gradients_of(pub, "parameter-shift", local)
    expected = np.einsum("nk,nkp->p", cotangents, exact.values)
    draws = [
        np.einsum("nk,nkp->p", cotangents, each.values) for each in gradients_of(pub, "spsa:c=0.001", local, draws=500)
    ]
    errors = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - expected) <= 4.5 * errors).all()


def test_weights_share_a_direction_and_inputs_do_not() -> None:
    """Parameters with one value in all rows are moved alike in all of them, others in directions of their own."""
    pub = random_pub(1, rows=40)
    is_weight = np.array([name.startswith("w") for name in pub.circuit.parameters])
    rows, _ = as_method("spsa:directions=2").expand(pub, wanted=None, stream=PubStream(1, Position(0, 0), 0))
    moves = rows.parameter_values.reshape(40, 5, 5)[:, 1:] - pub.parameter_values[:, np.newaxis]
    np.testing.assert_allclose(np.abs(moves), 0.2)
    np.testing.assert_allclose(moves[:, 0::2], -moves[:, 1::2])
    assert (moves[:, :, is_weight] > 0).std(axis=0).max() == 0.0
    assert (moves[:, :, ~is_weight] > 0).std(axis=0).min() > 0.3


def test_every_other_rotation_cuts_off_some_of_the_slope(local: Evaluation) -> None:
    """A product of P sinusoids has, in the mean, the slope times sin(c)/c cos(c)^(P-1): a smaller c cuts off less."""
    n_rotations, w = 5, ParameterVector("w", 5)
    circuit = QuantumCircuit(n_rotations)
    for qubit, angle in enumerate(w):
        circuit.ry(angle - np.pi / 2 if qubit == 0 else angle, qubit)
    product = " ".join(f"Z{qubit}" for qubit in range(n_rotations))
    pub = qorch.Pub(circuit, np.zeros((1, n_rotations)), observables=[product], shots=None)
    for c in (0.2, 0.05):
        for gradient in gradients_of(pub, f"spsa:c={c}", local, draws=5):
            assert gradient.values[0, 0, 0] == pytest.approx(np.sin(c) / c * np.cos(c) ** (n_rotations - 1))


def test_perturbations_become_smaller_by_the_runs_step() -> None:
    """As c / (k + 1)^gamma at step k; what comes before the first step counts as it."""
    pub = random_pub(1, rows=1)

    def size(step: int) -> float:
        stream = PubStream(1, Position(step, 0), 0)
        rows, _ = as_method("spsa:c=0.3,gamma=0.5").expand(pub, wanted=None, stream=stream)
        return float(np.abs(rows.parameter_values[1] - rows.parameter_values[0]).max())

    assert [size(step) for step in (-1, 0, 3, 8)] == pytest.approx([0.3, 0.3, 0.15, 0.1])


@pytest.mark.parametrize("name", MEASURED)
def test_standard_errors_are_those_of_the_shots(name: str) -> None:
    """By the weights with which the values of the rows count, each an independent sample."""
    pub = random_pub(5, rows=2)
    rows, after = as_method(name).expand(pub, wanted=None, stream=PubStream(1, Position(0, 0), 0))
    random = np.random.default_rng(0)
    values, stderr = random.normal(size=(2, rows.n_rows, 3))
    stderr = np.abs(stderr)
    whole, sources = np.full(rows.n_rows, 10), np.zeros(rows.n_rows, dtype=np.uint8)
    result = PubResult(rows, values, stderr, whole, sources, None)
    variances = np.zeros((2, 3, 5))
    for row in range(rows.n_rows):
        alone = np.zeros_like(values)
        alone[row] = 1.0
        weights = recombine(after, replace(result, values=alone)).values
        variances += weights**2 * stderr[row][np.newaxis, :, np.newaxis] ** 2
    np.testing.assert_allclose(recombine(after, result).stderr, np.sqrt(variances), atol=1e-12)


def test_a_sampled_shift_is_the_shift_rule_of_what_was_drawn(local: Evaluation) -> None:
    """Drawn parameters count P / m times, the same ones in all rows; the others have neither slope nor error."""
    pub = random_pub(7, rows=4)
    (exact,) = gradients_of(pub, "parameter-shift", local)
    (gradient,) = gradients_of(pub, "sampled-shift:share=0.4", local)
    drawn = np.abs(gradient.values).max(axis=(0, 1)) > 0.0
    assert drawn.sum() == 2
    np.testing.assert_allclose(gradient.values[:, :, drawn], exact.values[:, :, drawn] * 5 / 2, atol=1e-9)
    assert not gradient.stderr[:, :, ~drawn].any()
    (every,) = gradients_of(pub, "sampled-shift:share=1", local)
    np.testing.assert_array_equal(every.values, exact.values)


def test_random_numbers_are_the_positions() -> None:
    """A replayed call has the same rows; another seed, step, call or pub has others; no sample's stream is touched."""
    pub = random_pub(1, rows=8)

    def rows(seed: int, step: int, call: int, ordinal: int) -> bytes:
        stream = PubStream(seed, Position(step, call), ordinal)
        return as_method("spsa:gamma=0").expand(pub, wanted=None, stream=stream)[0].parameter_values.tobytes()

    places = [(1, 0, 0, 0), (2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)]
    assert [rows(*place) for place in places] == [rows(*place) for place in places]
    assert len({rows(*place) for place in places}) == len(places)
    assert gradient_stream_of(1, Position(0, 0), 0) % 2**64 != stream_of(1, Position(0, 0))


def test_the_pubs_of_a_call_are_independent() -> None:
    """A recurrent network multiplies their gradients: the mean of a product is that of its factors, each of mean 1."""
    pub, method = random_pub(1, rows=1), as_method("sampled-shift:share=0.4")
    products = np.zeros((5, 5))
    for call in range(600):
        streams = CallStreams(1, Position(0, call))
        _, afters = expand_all([pub, pub], [None, None], method=method, streams=streams, default_shots=9)
        weights = [
            np.abs(each.terms.weights).sum(axis=0) + np.abs(each.row_weights).sum(axis=(0, 1)) for each in afters
        ]
        products += np.outer(*[(weight > 0) * 5 / 2 for weight in weights]) / 600
    np.testing.assert_allclose(products, 1.0, atol=0.4)


def test_what_is_drawn_is_even() -> None:
    """Signs and subsets are those of this seed for ever, as paid rows depend on them; all are as likely."""
    stream = PubStream(1, Position(2, 3), 4)
    assert draw_signs(stream.generator(), (2, 5)).tolist() == [[1, 1, 1, 1, -1], [-1, 1, 1, -1, 1]]
    assert np.flatnonzero(draw_subset(stream.generator(), count=3, among=8)).tolist() == [0, 3, 5]
    generator = stream.generator()
    assert abs(draw_signs(generator, (100, 100)).mean()) < 0.05
    counts = sum(draw_subset(generator, count=2, among=5).astype(int) for _ in range(2000))
    assert np.abs(np.asarray(counts) / 2000 - 0.4).max() < 0.05


@pytest.mark.parametrize("name", GRADIENTS)
def test_what_no_method_takes(name: str) -> None:
    """No observable, and a mask of another shape, are errors."""
    pub, stream = random_pub(1), PubStream(1, Position(0, 0), 0)
    with pytest.raises(ObservableError, match="needs an observable"):
        as_method(name).expand(qorch.Pub(pub.circuit, pub.parameter_values), wanted=None, stream=stream)
    with pytest.raises(ParameterError, match="one bool for each"):
        as_method(name).expand(pub, wanted=np.ones(2, dtype=bool), stream=stream)


def test_spsa_of_exact_values_is_refused() -> None:
    """With the reason and what to use; also where exact values are the run's own."""
    pub, streams = random_pub(1), CallStreams(1, Position(0, 0))
    for asked, default in ((pub, 100), (pub.with_shots("run"), None)):
        with pytest.raises(ShotsError, match=r"no sense with exact values \(shots=None\).*use gradient='exact'"):
            expand_all([asked], [None], method=as_method("spsa"), streams=streams, default_shots=default)
    batch, _ = expand_all(
        [pub.with_shots("run")], [None], method=as_method("spsa"), streams=streams, default_shots="run"
    )
    assert batch.n_rows == 9
