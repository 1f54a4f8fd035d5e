"""The layer as a torch module: initial weights, empty and integer batches, pickles and copies."""

import copy
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch.errors import ParameterError, UsageError
from qorch.model.circuit import Circuit
from qorch.ports.clock import WallClock
from qorch.run.resources import Progress
from qorch.run.run import Run
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

X, W = ParameterVector("x", 2), ParameterVector("w", 3)


def circuit() -> QuantumCircuit:
    """Two qubits with shared, scaled and non-linear angles."""
    made = QuantumCircuit(2)
    made.ry(X[0], 0)
    made.rx(X[1] * X[0], 1)
    made.rx(W[0], 1)
    made.crx(W[1].exp(), 1, 0)
    made.rz(2 * W[2] + 0.3, 1)
    return made


def make_layer(**settings: object) -> qorch.QuantumLayer:
    """A layer over ``circuit``."""
    chosen: dict[str, object] = {"inputs": X, "weights": W, "observables": ["Z0", "X1"], "shots": None}
    return qorch.QuantumLayer(circuit(), **(chosen | settings))  # type: ignore[arg-type]


@pytest.fixture
def run() -> Iterator[Run]:
    """An active run on the fake."""

    def quiet(progress: Progress) -> None:
        pass

    store = MemoryStore(WallClock())
    with qorch.start_run("layer", backend=FakeBackend(), db=store, seed=5, cache="off", progress=quiet) as active:
        yield active


def halves(weights: torch.Tensor) -> None:
    """Fills in place and returns nothing, as a user's own initialiser may."""
    weights.fill_(0.5)


@pytest.mark.parametrize(
    ("initial", "expected"),
    [
        (torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), [0.1, 0.2, 0.3]),
        (np.array([0.1, 0.2, 0.3]), [0.1, 0.2, 0.3]),
        ([1, 2, 3], [1.0, 2.0, 3.0]),
        (torch.nn.init.zeros_, [0.0, 0.0, 0.0]),
        (halves, [0.5, 0.5, 0.5]),
        (torch.ones_like, [1.0, 1.0, 1.0]),
        (torch.nn.Parameter(torch.full((3,), 0.25)), [0.25, 0.25, 0.25]),
    ],
)
def test_initial_weights(initial: object, expected: list[float]) -> None:
    """Values, and functions that fill or return them, are the first weights; torch's random state stays as it was."""
    state = torch.get_rng_state()
    layer = make_layer(initial=initial)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(layer.weights.detach(), torch.tensor(expected))
    assert layer.weights.is_leaf
    assert layer.weights.requires_grad


def test_initial_weights_are_the_layers_own() -> None:
    """Training the layer does not change the tensor that was given, nor the other way round."""
    given = torch.zeros(3)
    layer = make_layer(initial=given)
    with torch.no_grad():
        layer.weights.fill_(1.0)
    assert not given.any()


def test_without_initial_weights_the_draw_is_as_before() -> None:
    """The default is uniform in ±π from torch's random state, to the bit."""
    torch.manual_seed(3)
    layer = make_layer()
    torch.manual_seed(3)
    assert torch.equal(layer.weights.detach(), torch.empty(3).uniform_(-np.pi, np.pi))
    torch.manual_seed(3)
    drawn = make_layer(initial=lambda weights: torch.nn.init.uniform_(weights, -np.pi, np.pi))
    assert torch.equal(layer.weights, drawn.weights)


@pytest.mark.parametrize(
    ("initial", "words"),
    [
        (torch.zeros(4), r"shape \(4,\); the layer has 3"),
        (torch.zeros(3, 1), r"shape \(3, 1\)"),
        (0.5, r"shape \(\)"),
        (torch.zeros(3, dtype=torch.complex64), "3 real weights"),
        ([0.0, float("nan"), 0.0], "not finite"),
        (["a", "b", "c"], "does not give 3 weights"),
        (torch.nn.init.xavier_uniform_, "does not give 3 weights: Fan in"),
        (lambda weights: 5, "shape int"),
        (lambda weights: torch.zeros(2), r"shape \(2,\)"),
        (lambda weights: weights.fill_(float("inf")), "not finite"),
    ],
)
def test_initial_weights_that_cannot_be(initial: object, words: str) -> None:
    """Wrong shapes, types and numbers are ParameterErrors with a sentence."""
    with pytest.raises(ParameterError, match=words):
        make_layer(initial=initial)


@pytest.mark.parametrize("gradient", ["parameter-shift", "exact"])
@pytest.mark.parametrize("shape", [(0, 2), (3, 0, 2), (0, 4, 2)])
def test_an_empty_batch(run: Run, gradient: str, shape: tuple[int, ...]) -> None:
    """The last batch of a filtered data set may be empty: nothing is executed, and all gradients are 0."""
    layer = make_layer(gradient=gradient)
    inputs = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    output = layer(inputs)
    assert output.shape == (*shape[:-1], 2)
    assert output.dtype == torch.float64
    output.sum().backward()
    assert layer.weights.grad is not None
    assert torch.equal(layer.weights.grad, torch.zeros(3))
    assert inputs.grad is not None
    assert inputs.grad.shape == shape
    assert run.totals.jobs == 0


def test_an_empty_batch_of_probabilities_needs_no_run() -> None:
    """K is 2^n there, and without rows there is nothing to execute."""
    assert make_layer(observables=qorch.probabilities())(torch.zeros(0, 2)).shape == (0, 4)


def test_rows_without_inputs(run: Run) -> None:
    """A circuit of weights alone takes inputs of width 0, of any number of rows."""
    layer = make_layer(inputs=(), weights=[*X, *W], initial=[0.1, 0.2, 0.3, 0.4, 0.5])
    assert layer(torch.zeros(0, 0)).shape == (0, 2)
    assert torch.equal(layer(torch.zeros(4, 0)), layer().expand(4, 2))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_inputs_of_whole_numbers(run: Run, dtype: torch.dtype) -> None:
    """Bits and classes are angles, in torch's default dtype; the weights have their gradients."""
    layer = make_layer()
    bits = torch.tensor([[0, 1], [1, 1]], dtype=dtype)
    output = layer(bits)
    assert output.dtype == torch.get_default_dtype()
    assert torch.equal(output, layer(bits.float()))
    output.sum().backward()
    assert layer.weights.grad is not None
    with pytest.raises(UsageError, match="must be real numbers"):
        layer(bits.to(torch.complex64))


def pickled(item: object) -> bytes:
    """By ``torch.save``, which pickles what is no tensor."""
    content = io.BytesIO()
    torch.save(item, content)
    return content.getvalue()


def unpickled(content: bytes) -> Any:
    """What was pickled."""
    return torch.load(io.BytesIO(content), weights_only=False)


def test_a_pickled_layer_works_and_is_small(run: Run) -> None:
    """After a pass of 10,000 rows a layer with its run pickles in a few kilobytes, and what comes back works."""
    layer = make_layer(run=run, shots=10)
    small = len(pickled(layer))
    layer(torch.rand(10, 2)).sum().backward()
    with layer.eval_on("local"), torch.no_grad():
        layer(torch.rand(10_000, 2))
    assert layer.last_result is not None
    assert layer.last_gradient is not None
    content = pickled(layer)
    assert len(content) < small + 1000 < 10_000
    inputs = torch.rand(3, 2)
    again = unpickled(content)
    assert again.last_result is None
    assert torch.equal(again.weights, layer.weights)
    assert again.circuit.digest == layer.circuit.digest
    with layer.eval_on(FakeBackend(), shots=None):
        assert torch.equal(again(inputs), layer(inputs))
    again(inputs).sum().backward()
    assert again.weights.grad is not None
    assert layer.last_result is not None


def test_a_copied_layer_has_weights_of_its_own_and_the_same_run(run: Run) -> None:
    """`copy.deepcopy` leaves the last results behind; the circuit is shared, the weights and the gradients are not."""
    layer = make_layer(run=run)
    layer(torch.rand(3, 2)).sum().backward()
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), layer, layer)
    twin = copy.deepcopy(model)
    assert twin[1] is twin[2]
    assert twin[1].last_result is None
    assert twin[1].circuit is layer.circuit
    assert twin[1]._run is run
    with torch.no_grad():
        twin[1].weights.fill_(0.0)
    assert layer.weights.all()
    before = run.totals.jobs
    twin(torch.rand(3, 2))
    assert run.totals.jobs == before + 2


def test_circuits_survive_pickling() -> None:
    """A circuit comes back equal and read-only, and its cached parts are not dragged along."""
    compiled = qorch.compile_circuit(circuit())
    size = len(pickled(compiled))
    assert compiled.free.digest
    assert compiled.angle_map.matrix.any()
    assert len(pickled(compiled)) == size
    again: Circuit = unpickled(pickled(compiled))
    assert again.digest == compiled.digest
    assert again.parameters == compiled.parameters
    assert again.gates.qubits.dtype == np.int16
    for array in (again.gates.constants, again.angle_map.offsets, again.angle_map.indices):
        assert not array.flags.writeable
    assert copy.deepcopy(compiled) is compiled
