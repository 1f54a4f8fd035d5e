"""The layer: shapes, gradients, round trips, recurrence, and training that resumes to the bit."""

import dataclasses
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch import wiring
from qorch.errors import CircuitError, ObservableError, RunError, ShotsError, UnknownNameError, UsageError
from qorch.gradients.recombination import recombine
from qorch.model.result import PubResult
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.ports.records import RunState
from qorch.run.checkpoint.codec import decode_state, encode_state
from qorch.run.resources import Progress
from qorch.run.run import Run
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore

X, W = ParameterVector("x", 2), ParameterVector("w", 3)


def circuit() -> QuantumCircuit:
    """Three qubits with every kind of dependence: shared, scaled, controlled and non-linear angles."""
    made = QuantumCircuit(3)
    made.ry(X[0], 0)
    made.rx(X[1] * X[0], 1)
    made.cx(0, 1)
    made.rx(W[0], 2)
    made.crx(W[1], 1, 2)
    made.rz(2 * W[2] + 0.3, 1)
    made.ry(W[2], 0)
    return made


def make_layer(**settings: object) -> qorch.QuantumLayer:
    """A layer over ``circuit``, exact and in float64 unless told otherwise."""
    chosen: dict[str, object] = {
        "inputs": X,
        "weights": W,
        "observables": ["Z0", "X1 + 0.5*Z2", "Z0 Y2"],
        "shots": None,
        "dtype": torch.float64,
    }
    return qorch.QuantumLayer(circuit(), **(chosen | settings))  # type: ignore[arg-type]


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def start(backend: FakeBackend, store: MemoryStore | None = None, **settings: object) -> Run:
    """A run on the fake."""
    store = store or MemoryStore(WallClock())
    return qorch.start_run("layer", backend=backend, db=store, seed=5, progress=quiet, **settings)  # type: ignore[arg-type]


@pytest.fixture
def run() -> Iterator[Run]:
    """An active run; its totals say what was executed."""
    with start(FakeBackend(), cache="off") as active:
        yield active


def test_gradients_of_inputs_and_weights(run: Run) -> None:
    """Gradients by inputs and weights pass torch's own check against finite differences."""
    layer = make_layer()
    inputs = torch.rand(2, 2, dtype=torch.float64, requires_grad=True)

    def outputs(angles: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weights": weights}, (angles,))

    weights = layer.weights.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(outputs, (inputs, weights), eps=1e-5, atol=1e-8)


@pytest.mark.parametrize("gradient", ["parameter-shift", "exact"])
def test_second_derivatives_are_refused(gradient: str) -> None:
    """A gradient of the layer's gradient is an error, also where it would come through layers in front alone."""
    layer = make_layer(gradient=gradient)
    angles = torch.full((1, 2), 0.3, dtype=torch.float64, requires_grad=True)
    with qorch.start_run("second", backend="local", db=MemoryStore(WallClock()), seed=5, progress=quiet, cache="off"):
        output = layer(angles * angles).sum()
        (slope,) = torch.autograd.grad(output, angles, create_graph=True)
        (plain,) = torch.autograd.grad(layer(angles * angles).sum(), angles)
        assert torch.equal(slope, plain)
        with pytest.raises(UsageError, match="first derivatives only"):
            slope.sum().backward()


@pytest.mark.parametrize("eager", [True, False])
def test_eager_or_not_is_the_same_gradient(run: Run, eager: bool) -> None:
    """With `eager=False` the shifts are executed in the backward pass, and the gradient is the same."""
    torch.manual_seed(0)
    layer = make_layer(eager=eager)
    calls = _calls(run)
    layer(torch.ones(4, 2, dtype=torch.float64)).sum().backward()
    assert len(calls) == (1 if eager else 2)
    assert layer.weights.grad is not None
    reference = _finite_difference(layer, torch.ones(4, 2, dtype=torch.float64))
    torch.testing.assert_close(layer.weights.grad, reference, atol=1e-7, rtol=0)


def _finite_difference(layer: qorch.QuantumLayer, inputs: torch.Tensor) -> torch.Tensor:
    step = 1e-5
    slopes = []
    with torch.no_grad():
        for index in range(layer.weights.numel()):
            values = []
            for sign in (1, -1):
                moved = layer.weights.clone()
                moved[index] += sign * step
                values.append(torch.func.functional_call(layer, {"weights": moved}, (inputs,)).sum())
            slopes.append((values[0] - values[1]) / (2 * step))
    return torch.stack(slopes)


def _calls(run: Run) -> list[int]:
    """Collects the number of rows of every call of the run from here on."""
    calls: list[int] = []
    engine = run._engine
    original = engine.execute

    async def counted(call: object) -> object:
        calls.append(call.batch.n_rows)  # type: ignore[attr-defined]
        return await original(call)  # type: ignore[arg-type]

    engine.execute = counted  # type: ignore[assignment,method-assign]
    return calls


def test_a_training_step_is_one_round_trip(run: Run) -> None:
    """Forward and shifted rows of the whole batch leave as one call; without a gradient only the forward rows do."""
    layer = make_layer()
    calls = _calls(run)
    inputs = torch.rand(5, 2, dtype=torch.float64)
    layer(inputs).sum().backward()
    # w0 and w2 (twice) take two shifts each, the controlled w1 four.
    assert calls == [5 * (1 + 2 + 4 + 2 * 2)]
    with torch.no_grad():
        layer(inputs)
    layer.weights.requires_grad_(False)
    layer(inputs)
    assert calls[1:] == [5, 5]


def test_only_what_needs_a_gradient_is_shifted(run: Run) -> None:
    """Frozen weights are not shifted when only the inputs are trained."""
    layer = make_layer()
    layer.weights.requires_grad_(False)
    calls = _calls(run)
    inputs = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    layer(inputs).sum().backward()
    assert calls == [3 * (1 + 2 + 2)]
    assert inputs.grad is not None
    assert layer.weights.grad is None


def test_inputs_in_several_tensors_are_shifted_where_one_needs_it(run: Run) -> None:
    """Data beside a hidden state cost no circuits, and the hidden state gets the gradient that it gets alone."""
    layer = make_layer()
    data, state = torch.tensor([[0.4], [0.1]], dtype=torch.float64), torch.tensor([[0.3], [0.7]], dtype=torch.float64)
    whole, state = torch.cat([data, state], dim=-1).requires_grad_(), state.requires_grad_()
    calls = _calls(run)
    together, apart = layer(whole), layer(data, state)
    together.sum().backward()
    apart.sum().backward()
    torch.testing.assert_close(apart, together, atol=0, rtol=0)
    assert whole.grad is not None
    torch.testing.assert_close(state.grad, whole.grad[:, 1:])
    assert calls[1] < calls[0]
    for wrong in (torch.zeros(3, 1), torch.zeros(2, 2), None):
        with pytest.raises(UsageError, match="inputs of shape"):
            layer(data, wrong)


@pytest.mark.parametrize(("eager", "expected"), [(False, [2, 2, 2, 2, 2 * 4 * 12]), (True, None)])
def test_a_recurrent_pass_sends_all_shifts_together(run: Run, eager: bool, expected: list[int] | None) -> None:
    """Back-propagation through time executes the shifts of the whole sequence as one batch, with right gradients."""
    layer = make_layer(eager=eager)
    mix = torch.nn.Linear(3, 2, dtype=torch.float64)

    def unroll(start_state: torch.Tensor) -> torch.Tensor:
        state = start_state
        for _ in range(4):
            state = torch.tanh(mix(layer(state)))
        return state.sum()

    state = torch.full((2, 2), 0.3, dtype=torch.float64, requires_grad=eager)
    calls = _calls(run)
    unroll(state).backward()
    assert len(calls) == 5
    if expected is None:
        assert calls[1:4] == [2, 2, 2]
    else:
        assert calls[:4] == [2, 2, 2, 2]
    assert layer.weights.grad is not None
    step = 1e-5
    with torch.no_grad():
        layer.weights[1] += step
        above = unroll(state.detach())
        layer.weights[1] -= 2 * step
        below = unroll(state.detach())
    torch.testing.assert_close(layer.weights.grad[1], (above - below) / (2 * step), atol=1e-7, rtol=0)


def test_shapes_and_types(run: Run) -> None:
    """Any batch shape goes through; the output has the input's type."""
    layer = make_layer()
    for shape in [(2,), (1, 2), (3, 2), (2, 3, 2)]:
        assert layer(torch.zeros(shape, dtype=torch.float64)).shape == (*shape[:-1], 3)
    single = make_layer(dtype=torch.float32)
    output = single(torch.zeros(4, 2))
    assert output.dtype == torch.float32
    output.sum().backward()
    assert single.weights.grad is not None
    assert single.weights.grad.dtype == torch.float32


def test_a_layer_without_inputs(run: Run) -> None:
    """A circuit of weights alone gives one vector, and trains."""
    layer = qorch.QuantumLayer(circuit(), weights=[*X, *W], observables=qorch.probabilities(), shots=None)
    output = layer()
    assert output.shape == (8,)
    assert float(output.detach().sum()) == pytest.approx(1.0)
    output[3].backward()
    assert layer.weights.grad is not None
    assert layer.weights.grad.abs().sum() > 0


def test_gradients_of_sampled_probabilities(run: Run) -> None:
    """From the counts alone come the values, gradients and errors that the dense frequencies would give."""
    pub = qorch.Pub(circuit(), np.random.default_rng(1).uniform(-2, 2, (3, 5)), observables=qorch.probabilities())
    affine = QuantumCircuit(2)
    affine.ry(W[0] + 2 * W[1], 0)
    affine.crx(W[1], 0, 1)
    affine.rz(W[2], 1)
    for item in (
        pub.with_shots(200),
        qorch.Pub(affine, [[0.3, 1.0, 2.0]], observables=qorch.probabilities(), shots=300),
    ):
        gradient = run.gradient(item)
        rows = gradient.rows
        dense = dataclasses.replace(
            gradient, rows=PubResult(rows.pub, rows.values, rows.stderr, rows.shots, rows.sources, None)
        )
        again = recombine(gradient.recombination, dense.rows)
        np.testing.assert_allclose(gradient.values, again.values, atol=1e-12)
        np.testing.assert_allclose(gradient.stderr, again.stderr, atol=1e-12)
        np.testing.assert_allclose(gradient.forward.values.sum(axis=1), 1.0)


def test_state_dict_round_trip(run: Run) -> None:
    """A layer's weights survive state_dict and qorch's own codec."""
    first, second = make_layer(), make_layer()
    second.load_state_dict(decode_state(encode_state(first.state_dict())))
    inputs = torch.rand(2, 2, dtype=torch.float64)
    assert torch.equal(first(inputs), second(inputs))
    assert "3 qubits, 2 inputs, 3 weights" in repr(first)


def test_standard_errors_of_the_gradient(run: Run) -> None:
    """The newest gradient's values and standard errors are there to look at, and shrink with the shots."""
    errors = []
    for shots in (100, 10_000):
        layer = make_layer(shots=shots)
        layer(torch.ones(2, 2, dtype=torch.float64)).sum().backward()
        assert layer.last_gradient is not None
        assert layer.last_gradient.values.shape == (2, 3, 3)
        errors.append(layer.last_gradient.stderr.mean())
    assert errors[0] / errors[1] == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"weights": W[:2]}, UsageError, "neither among inputs nor weights"),
        ({"weights": [*W, "nope"]}, UsageError, "no parameter 'nope'"),
        ({"weights": [*W, W[0]]}, UsageError, "twice"),
        ({"inputs": X[0]}, UsageError, "are lists of parameters"),
        ({"inputs": [1, 2]}, UsageError, "are lists of parameters"),
        ({"observables": ["Z7"]}, ObservableError, "qubit 7"),
        ({"observables": []}, UsageError, "needs observables"),
        ({"shots": 0}, ShotsError, "from 1"),
        ({"gradient": "magic"}, UnknownNameError, "parameter-shift"),
    ],
)
def test_bad_layers(settings: dict[str, object], error: type[Exception], words: str) -> None:
    """A layer that cannot work is refused when it is made, with one sentence."""
    with pytest.raises(error, match=words):
        make_layer(**settings)


def test_bad_circuit() -> None:
    """A circuit that measures in the middle is refused when the layer is made."""
    bad = QuantumCircuit(1, 1)
    bad.measure(0, 0)
    bad.x(0)
    with pytest.raises(CircuitError):
        qorch.QuantumLayer(bad, observables="Z0")


def test_bad_inputs(run: Run) -> None:
    """Inputs of a wrong width or type, or that are not finite, are refused before anything runs."""
    layer = make_layer()
    no_tensors = (np.zeros((3, 2)), [[0.0, 0.0]], None)
    for bad in (torch.zeros(3, 5), torch.zeros(0, 3), torch.zeros(3, 2, dtype=torch.complex64), *no_tensors):
        with pytest.raises(UsageError):
            layer(bad)
    with pytest.raises(UsageError, match="finite"):
        layer(torch.tensor([[0.0, float("nan")]], dtype=torch.float64))
    assert run.totals.rows_executed == 0


def test_a_layer_needs_a_run() -> None:
    """Outside of a run the layer says what is missing."""
    with pytest.raises(RunError, match="no run is active"):
        make_layer()(torch.zeros(1, 2, dtype=torch.float64))


def test_exact_gradient_needs_a_simulator(run: Run) -> None:
    """`gradient="exact"` on a backend without it is a clear error, before the forward pass is bought."""
    layer = make_layer(gradient="exact")
    with pytest.raises(UsageError, match="no exact gradients; use gradient='parameter-shift' with shots=None"):
        layer(torch.zeros(1, 2, dtype=torch.float64))
    assert run.totals.jobs == 0
    with torch.no_grad():
        assert layer(torch.zeros(1, 2, dtype=torch.float64)).shape == (1, 3)


def test_advice_on_gradients_is_only_what_the_backend_can_do() -> None:
    """A backend without exact values is not asked for them."""
    sampler = FakeBackend(capabilities=dataclasses.replace(FREE, exact=False))
    with start(sampler), pytest.raises(UsageError, match=r"use gradient='parameter-shift'$"):
        make_layer(gradient="exact", shots=10)(torch.zeros(1, 2, dtype=torch.float64))


class CrashError(Exception):
    """Ends a training in the middle."""


def _train(store: MemoryStore, *, resume: bool = False, crash_at: int | None = None) -> tuple[bytes, int]:
    """Six steps over a shuffled loader; the digest of all weights, and the rows executed."""
    torch.manual_seed(11)
    np.random.seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), make_layer(shots=40, dtype=None), torch.nn.Linear(3, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    data = torch.utils.data.TensorDataset(torch.rand(12, 2))
    loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    backend = FakeBackend()
    try:
        with start(backend, store, resume=resume) as run:
            for (batch,) in run.steps(loader, epochs=2, save=(model, optimizer)):
                noise = torch.rand(()) + float(np.random.random())
                loss = ((model(batch) - noise) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                if run.current_step == crash_at:
                    raise CrashError
                optimizer.step()
                run.log(loss=loss.item())
    except CrashError:
        assert store.runs()[0].state == RunState.FAILED
    return encode_state(model.state_dict()), backend.n_rows


@pytest.mark.parametrize("crash_at", range(6))
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_resumed_training_is_bit_equal(crash_at: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that crashed in any step ends with the very weights of one that did not, executing no row again.

    With a checkpoint after every step, and with none at all: then everything is replayed from the store.
    """
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=seconds))
    whole, rows = _train(MemoryStore(WallClock()))
    store = MemoryStore(WallClock())
    _, before = _train(store, crash_at=crash_at)
    resumed, after = _train(store, resume=True)
    assert resumed == whole
    assert before + after == rows


def test_loops_of_the_users_own(run: Run) -> None:
    """`restore` and `checkpoint` serve a loop of any shape."""
    store = MemoryStore(WallClock())
    layer = make_layer(dtype=torch.float64)
    with start(FakeBackend(), store) as own:
        assert own.restore(layer) == 0
        with own.step(0):
            layer(torch.ones(1, 2, dtype=torch.float64))
        with torch.no_grad():
            layer.weights.fill_(0.25)
        own.checkpoint(layer)
        torch.manual_seed(77)
        own.checkpoint(layer)
        expected = torch.rand(3)
    other = make_layer()
    with start(FakeBackend(), store, resume=True) as own:
        assert own.restore(other) == 1
        assert torch.equal(torch.rand(3), expected)
        with pytest.raises(RunError, match="holds 1 states; 2 were given"):
            own.restore(other, other)
    assert (other.weights == 0.25).all()
