"""Gradient methods in runs and layers: one batch a step, resumes that repeat what was random, refusals, quotes."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch import wiring
from qorch.errors import RunChangedError, ShotsError, UnknownNameError, UsageError
from qorch.gradients.methods import GRADIENTS
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.run.checkpoint.codec import encode_state
from qorch.run.rehearsal import rehearse
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore
from qorch.workloads.base import Options, gradient_method

X, W = ParameterVector("x", 2), ParameterVector("w", 4)
MEASURED = [name for name in GRADIENTS if name != "exact"]
CHOSEN = [*MEASURED, "spsa:directions=3,c=0.1", "finite-difference:step=0.2", "sampled-shift:share=0.5"]


class CrashError(Exception):
    """Ends a training in the middle."""


def circuit() -> QuantumCircuit:
    """Two qubits, with a controlled and a non-linear angle."""
    made = QuantumCircuit(2)
    made.ry(X[0], 0)
    made.rx(X[1] * X[0], 1)
    made.crx(W[0], 0, 1)
    for qubit in range(2):
        made.ry(W[1 + qubit], qubit)
    made.rzz(2 * W[3], 0, 1)
    made.h(0)
    return made


def make_layer(gradient: str, *, shots: Any = 100, **more: Any) -> qorch.QuantumLayer:
    """A layer with two outputs."""
    return qorch.QuantumLayer(
        circuit(), inputs=X, weights=W, observables=["Z0", "Z0 Z1 + X1"], shots=shots, gradient=gradient,
        initial=torch.tensor([0.3, -0.4, 0.8, 0.5]), dtype=torch.float64, **more,
    )  # fmt: skip


def make_pub(*, rows: int = 3, shots: Any = 100) -> qorch.Pub:
    """Points of the same circuit."""
    values = np.random.default_rng(1).uniform(0.2, 1.0, (rows, 6))
    return qorch.Pub(circuit(), values, observables=["Z0", "Z0 Z1 + X1"], shots=shots)


def start(backend: Any = None, store: MemoryStore | None = None, **more: Any) -> qorch.Run:
    """A run on the fake, or on another backend."""
    store = store or MemoryStore(WallClock())
    backend = FakeBackend() if backend is None else backend
    return qorch.start_run("methods", backend=backend, db=store, seed=5, progress=lambda _: None, **more)


def train(store: MemoryStore, gradient: str, *, resume: bool = False, crash_at: int | None = None) -> tuple[bytes, int]:
    """Four steps of a recurrent model; the weights at the end, and the rows executed."""
    torch.manual_seed(11)
    layer, mix = make_layer(gradient, shots=40), torch.nn.Linear(2, 2, dtype=torch.float64)
    optimizer = torch.optim.Adam([*layer.parameters(), *mix.parameters()], lr=0.1)
    data = torch.utils.data.TensorDataset(torch.rand(4, 2, dtype=torch.float64))
    backend = FakeBackend()
    with start(backend, store, resume=resume) as run:
        loader = torch.utils.data.DataLoader(data, batch_size=2)
        for (batch,) in run.steps(loader, epochs=2, save=(layer, mix, optimizer)):
            loss = (mix(layer(torch.tanh(mix(layer(batch))))) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            if run.current_step == crash_at:
                raise CrashError
            optimizer.step()
    return encode_state({"layer": layer.state_dict(), "mix": mix.state_dict()}), backend.n_rows


@pytest.mark.parametrize("gradient", ["spsa", "sampled-shift:share=0.5"])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_resume_repeats_what_was_random(gradient: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directions and drawn parameters are the same again: no row is bought twice, and the weights are the same bits."""
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=seconds))
    whole, rows = train(MemoryStore(WallClock()), gradient)
    store = MemoryStore(WallClock())
    with pytest.raises(CrashError):
        train(store, gradient, crash_at=2)
    executed = sum(session.executions for session in store.sessions(store.runs()[0].run_id))
    resumed, after = train(store, gradient, resume=True)
    assert resumed == whole
    assert executed + after == rows
    assert 0 < after < rows


def test_a_replayed_call_has_the_same_rows_and_buys_none() -> None:
    """The rows of a second session have the keys of the first; another call has others."""
    store = MemoryStore(WallClock())

    def measure(number: int, **more: Any) -> tuple[np.ndarray, int]:
        with start(store=store, **more) as run, run.step(number):
            gradient = run.gradient(make_pub(), method="spsa:gamma=0")
        return gradient.rows.pub.parameter_values, run.totals.rows_executed

    first, bought = measure(0)
    again, replayed = measure(0, resume=True)
    other, _ = measure(1, resume=True)
    assert (bought, replayed) == (2 * 9, 0)  # in two bases
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[::3], other[::3])
    assert (first[1::3] != other[1::3]).any()


@pytest.mark.parametrize("other", ["parameter-shift", "spsa:directions=2", "spsa:c=0.1"])
def test_a_resumed_run_keeps_its_method(other: str) -> None:
    """Another method, or another option of it, is not what was started."""
    store = MemoryStore(WallClock())

    def measure(method: str, **more: Any) -> None:
        with start(store=store, **more) as run:
            for _ in run.steps([1, 2, 3]):
                run.gradient(make_pub(), method=method)
                if run.current_step == 1 and not more:
                    raise CrashError

    with pytest.raises(CrashError):
        measure("spsa")
    with pytest.raises(RunChangedError, match=f"started with gradient spsa, and the program has {other} now"):
        measure(other, resume=True)
    measure(other, resume=True, allow_changes="gradient")


@pytest.mark.parametrize("gradient", CHOSEN)
def test_a_sequence_leaves_as_one_batch(gradient: str) -> None:
    """Back-propagation through time: four forward passes, then the rows of all of them together, with any method."""
    layer, mix = make_layer(gradient, eager=False), torch.nn.Linear(2, 2, dtype=torch.float64)
    with start() as run:
        batches: list[int] = []
        original = run._next_call
        run._next_call = lambda batch: batches.append(len(batch.pubs)) or original(batch)  # type: ignore[func-returns-value,method-assign]
        state = torch.full((2, 2), 0.3, dtype=torch.float64)
        for _ in range(4):
            state = torch.tanh(mix(layer(state)))
        state.sum().backward()  # type: ignore[no-untyped-call]
    assert batches == [1, 1, 1, 1, 4]
    assert layer.weights.grad is not None
    assert layer.weights.grad.abs().sum() > 0


@pytest.mark.parametrize("shots", [None, 4000])
@pytest.mark.parametrize("name", ["parameter-shift", "finite-difference:step=0.05", "sampled-shift:share=1", "spsa"])
def test_the_local_backend_has_them_all(name: str, shots: int | None) -> None:
    """With and without shots; but for its errors it is the exact gradient, and SPSA is of its size."""
    with start("local") as run:
        pub = make_pub(shots=shots)
        if name == "spsa" and shots is None:
            with pytest.raises(ShotsError, match="no sense with exact values"):
                run.gradient(pub, method=name)
            return
        exact = run.gradient(pub, ["w[0]", "x[0]"], method="exact")
        measured = run.gradient(pub, ["w[0]", "x[0]"], method=name)
    assert measured.parameters == exact.parameters == ("w[0]", "x[0]")
    assert not exact.stderr.any()
    if shots is None:
        assert not measured.stderr.any()
    room = np.abs(exact.values).sum(axis=2, keepdims=True) if name == "spsa" else 2e-3
    assert (np.abs(measured.values - exact.values) <= 5 * measured.stderr + room).all()


def test_layers_of_every_method_train_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights' gradients of a layer on exact values: those that are exact agree, whatever the method's rows are."""
    inputs = torch.rand(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slopes = {}
    with start("local"):
        for name in ("exact", "parameter-shift", "finite-difference:step=1e-4", "sampled-shift:share=1"):
            layer = make_layer(name, shots=None)
            (layer(inputs) ** 2).sum().backward()
            assert layer.weights.grad is not None
            slopes[name] = layer.weights.grad
    for other in slopes.values():
        torch.testing.assert_close(other, slopes["exact"], atol=1e-6, rtol=0)


def test_exact_gradients_of_pubs_are_those_of_the_shift_rule() -> None:
    """`run.gradients` computes them, also of several pubs and probabilities; elsewhere nothing is executed."""
    pubs = [make_pub(shots=None), qorch.Pub(circuit(), np.ones((2, 6)), observables=qorch.probabilities(), shots=None)]
    wanted = [None, np.array([True, False, True, False, False, True])]
    with start("local") as run:
        exact, shifted = (run.gradients(pubs, wanted, method=name) for name in ("exact", "parameter-shift"))
    for one, two in zip(exact, shifted, strict=True):
        np.testing.assert_allclose(one.values, two.values, atol=1e-9)
        np.testing.assert_allclose(one.forward.values, two.forward.values, atol=1e-12)
    with start() as run:
        with pytest.raises(UsageError, match="fake has no exact gradients"):
            run.gradients(pubs, wanted, method="exact")
        assert run.totals.rows_executed == 0


def test_what_is_refused_is_refused_at_once() -> None:
    """A name that there is not, and SPSA of exact values: by the run, the layer, an evaluation, and a workload."""
    with start() as run:
        with pytest.raises(UnknownNameError, match="no gradient 'magic'"):
            run.gradient(make_pub(), method="magic")
        with pytest.raises(ShotsError, match="no sense"):
            run.gradient(make_pub(shots="run"), method="spsa")
        assert run.totals.rows_executed == 0
    with pytest.raises(ShotsError, match="no sense"):
        make_layer("spsa", shots=None)
    layer = make_layer("spsa")
    with layer.eval_on("local", shots=None), pytest.raises(ShotsError, match="no sense"):
        layer(torch.zeros(1, 2, dtype=torch.float64)).sum().backward()
    assert gradient_method(Options(shots=10, gradient="spsa:c=0.1")) == "spsa:c=0.1"
    with pytest.raises(ShotsError, match="no sense"):
        gradient_method(Options(shots=None, gradient="spsa"))


def test_an_evaluation_draws_from_its_seed() -> None:
    """The same seed has the same directions, call by call."""

    def measure(seed: int) -> list[np.ndarray]:
        with make_layer("spsa").eval_on("local", seed=seed) as evaluation:
            return [evaluation.gradients([make_pub()], [None], method="spsa")[0].values for _ in range(2)]

    first, again, other = measure(1), measure(1), measure(2)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize(
    ("gradient", "rows"), [("spsa:directions=2", 5), ("finite-difference", 9), ("sampled-shift:share=0.25", 3)]
)
def test_a_rehearsal_has_the_methods_rows(gradient: str, rows: int) -> None:
    """And its name, by which quotes leave it out of the other methods. An exact one computes nothing."""
    model = make_layer(gradient, shots="run")
    with rehearse() as rehearsal:
        model(torch.zeros(3, 2, dtype=torch.float64)).sum().backward()
        assert rehearsal.calls[0].method == gradient.replace(":share=0.25", "")
        computed = rehearsal.gradients([make_pub()], [None], method="exact")
    assert rehearsal.calls[0].batch.n_rows == 3 * rows or gradient.startswith("sampled")
    assert rehearsal.wants_exact_gradients
    assert computed[0].values.shape == (3, 2, 6)
