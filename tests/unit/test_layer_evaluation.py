"""A layer evaluates on a free backend of this machine without a run, and nothing is recorded."""

import dataclasses
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import start_python
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp

import qorch
from qorch.errors import QorchError, RunError, ShotsError, UnknownNameError, UsageError
from qorch.ports.clock import WallClock
from qorch.run.evaluation import Evaluation
from qorch.run.resources import Progress
from qorch.run.run import Run
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore

X, W = ParameterVector("x", 2), ParameterVector("w", 3)
LABELS = ["IIZ", "XZI", "ZIY"]


def circuit() -> QuantumCircuit:
    """Three qubits, none of which is like another."""
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
    """A layer over ``circuit`` in float64."""
    chosen: dict[str, object] = {"inputs": X, "weights": W, "observables": LABELS, "dtype": torch.float64}
    return qorch.QuantumLayer(circuit(), **(chosen | settings))  # type: ignore[arg-type]


def start(backend: object, **settings: object) -> Run:
    """A run that shows nothing and keeps its records in memory."""

    def quiet(progress: Progress) -> None:
        pass

    store = MemoryStore(WallClock())
    return qorch.start_run("layer", backend=backend, db=store, seed=5, progress=quiet, **settings)  # type: ignore[arg-type]


@pytest.fixture
def inputs() -> torch.Tensor:
    """Five rows of angles."""
    return torch.linspace(-1.0, 2.0, 10, dtype=torch.float64).reshape(5, 2)


def expected(layer: qorch.QuantumLayer, inputs: torch.Tensor) -> torch.Tensor:
    """The values of Qiskit's own estimator, whose parameters are sorted as w, then x."""
    weights = layer.weights.detach().numpy()
    values = np.concatenate([np.tile(weights, (len(inputs), 1)), inputs.numpy()], axis=1)
    observables = [[SparsePauliOp(label)] for label in LABELS]
    result = StatevectorEstimator().run([(circuit(), observables, values)]).result()[0]
    return torch.as_tensor(result.data.evs.T.copy())


@pytest.mark.parametrize("backend", ["local", "aer"])
def test_values_without_a_run(backend: str, inputs: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact values are Qiskit's, in any batch shape; sampled ones are near them, and the same with the same seed."""
    monkeypatch.setenv("QORCH_WORKERS", "1")
    layer = make_layer()
    with layer.eval_on(backend), torch.no_grad():
        exact = layer(inputs)
        assert torch.equal(layer(inputs.reshape(5, 1, 2)), exact.reshape(5, 1, 3))
    torch.testing.assert_close(exact, expected(layer, inputs), atol=1e-6, rtol=0)
    sampled = []
    for _ in range(2):
        with layer.eval_on(backend, shots=4000, seed=3), torch.no_grad():
            sampled.append(layer(inputs))
            assert layer.last_result is not None
            assert layer.last_result.shots.tolist() == [4000] * 5
            assert not torch.equal(layer(inputs), sampled[-1])
    assert torch.equal(*sampled)
    assert float((sampled[0] - exact).abs().max()) < 0.1


def test_shots_of_the_layer_or_of_all(inputs: torch.Tensor) -> None:
    """A layer keeps its own shots unless the evaluation names others; exact is None there as everywhere."""
    layer = make_layer(shots=100)
    for shots, seen in (("layer", 100), (7, 7), (None, 0)):
        with layer.eval_on("local", shots=shots), torch.no_grad():  # type: ignore[arg-type]
            layer(inputs)
            assert layer.last_result is not None
            assert layer.last_result.shots.tolist() == [seen] * 5


def test_gradients_inside_of_the_block(inputs: torch.Tensor) -> None:
    """Without `no_grad` only the forward rows are executed; `backward` has the gradients that a run has."""
    grads = []
    for gradient in ("parameter-shift", "exact"):
        layer = make_layer(gradient=gradient, initial=[0.1, 0.2, 0.3])
        with layer.eval_on("local:precision=float64"):
            output = layer(inputs)
            assert layer.last_gradient is None
            output.sum().backward()
            grads.append(layer.weights.grad)
            late = layer(inputs).sum()
        with pytest.raises(RunError, match="the evaluation on local:precision=float64 is over"):
            late.backward()
    torch.testing.assert_close(grads[0], grads[1], atol=1e-6, rtol=0)
    backend = FakeBackend()
    layer = make_layer()
    with layer.eval_on(backend):
        layer(inputs)
        assert backend.n_rows == 5 * 2  # two bases


def test_every_layer_of_a_model_evaluates(inputs: torch.Tensor) -> None:
    """The block holds for all layers in this thread, also for those with a run of their own, and then is over."""
    backend = FakeBackend()
    with start(FakeBackend(), cache="off") as run:
        model = torch.nn.Sequential(make_layer(run=run), torch.nn.Linear(3, 2, dtype=torch.float64), make_layer())
        with qorch.QuantumLayer.eval_on(backend) as evaluation, torch.no_grad():
            assert isinstance(evaluation, Evaluation)
            model(inputs)
        assert backend.n_rows == 2 * 5 * 2
        assert run.totals.rows_executed == 0
        with torch.no_grad():
            model(inputs)
        assert run.totals.rows_executed == 2 * 5 * 2


def test_the_innermost_counts(inputs: torch.Tensor) -> None:
    """A run that begins inside of an evaluation is what its layers use; another thread knows of neither."""
    outer = FakeBackend()
    layer = make_layer()
    seen: list[BaseException] = []

    def elsewhere() -> None:
        try:
            layer(inputs)
        except QorchError as error:
            seen.append(error)

    with layer.eval_on(outer), torch.no_grad():
        with start(FakeBackend()) as run:
            layer(inputs)
            assert run.totals.rows_executed == 5 * 2
        assert outer.n_rows == 0
        layer(inputs)
        assert outer.n_rows == 5 * 2
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert isinstance(seen[0], RunError)


def test_validation_beside_a_run_on_the_same_backend(inputs: torch.Tensor) -> None:
    """Leaving an evaluation on `local` leaves a run on `local` as it was."""
    layer = make_layer()
    with start("local") as run, torch.no_grad():
        first = layer(inputs)
        with layer.eval_on("local"):
            second = layer(inputs)
        third = layer(inputs + 0.0)
        assert run.totals.rows_executed + run.totals.rows_from_cache == 2 * 5 * 2
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_the_error_without_a_run_names_the_way() -> None:
    """Who calls a layer without a run reads both ways to go on, and the second one works."""
    layer = make_layer()
    with pytest.raises(RunError, match=r'start_run.*with layer\.eval_on\("local"\)'):
        layer(torch.zeros(1, 2, dtype=torch.float64))


def test_backends_that_need_a_run_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What charges, and what runs jobs at a provider, is refused before anything is executed."""
    layer = make_layer()
    paid = FakeBackend(capabilities=dataclasses.replace(FREE, charges=True))
    monkeypatch.setenv("IONQ_API_KEY", "key")
    monkeypatch.setenv("IONQ_API_URL", "http://127.0.0.1:9/v0.4")
    for backend, words in (
        (paid, "fake charges money, and an evaluation has no budget"),
        ("ionq:qpu.forte-1", "charges money"),
        ("ionq:simulator", "runs jobs at a provider"),
    ):
        with pytest.raises(UsageError, match=words), layer.eval_on(backend):
            pass
    assert paid.n_rows == 0


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"backend": "nowhere"}, UnknownNameError, "no backend 'nowhere'"),
        ({"backend": 5}, UsageError, "backend is a int"),
        ({"backend": "local", "shots": 0}, ShotsError, "from 1"),
        ({"backend": "local", "shots": "run"}, ShotsError, "no run here"),
        ({"backend": "local", "seed": 0.5}, UsageError, "seed"),
    ],
)
def test_evaluations_that_cannot_be(settings: dict[str, object], error: type[Exception], words: str) -> None:
    """Wrong names, shots and seeds are sentences."""
    with pytest.raises(error, match=words), make_layer().eval_on(**settings):  # type: ignore[arg-type]
        pass


def test_shots_that_the_backend_does_not_take(inputs: torch.Tensor) -> None:
    """On a backend without exact values the layer says so, and evaluates with a number of shots."""
    layer = make_layer()
    sampler = dataclasses.replace(FREE, exact=False)
    with torch.no_grad():
        with layer.eval_on(FakeBackend(capabilities=sampler)), pytest.raises(ShotsError, match="number of shots"):
            layer(inputs)
        with layer.eval_on(FakeBackend(capabilities=sampler), shots=10):
            assert layer(inputs).shape == (5, 3)


def test_a_script_evaluates_a_saved_model(tmp_path: Path, inputs: torch.Tensor) -> None:
    """What a user does: train in one process, `torch.save`, evaluate in another one; no database appears."""
    layer = make_layer(initial=torch.nn.init.ones_)
    torch.save(layer, tmp_path / "model.pt")
    script = tmp_path / "evaluate.py"
    script.write_text(
        "import sys, torch\n"
        "layer = torch.load(sys.argv[1], weights_only=False)\n"
        "with layer.eval_on('local'), torch.no_grad():\n"
        "    print(layer(torch.tensor([[0.25, -1.5]], dtype=torch.float64))[0].tolist())\n"
    )
    database = tmp_path / "runs.db"
    environment = os.environ | {"QORCH_DB": str(database)}
    process = start_python(str(script), [str(tmp_path / "model.pt")], cwd=tmp_path, environment=environment)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    values = torch.tensor([json.loads(said)], dtype=torch.float64)
    torch.testing.assert_close(values, expected(layer, torch.tensor([[0.25, -1.5]])), atol=1e-6, rtol=0)
    assert not database.exists()
